"""What a reader gets from the log."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events.choices import Kind


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as it was read."""

    id: int
    created_at: datetime
    kind: Kind
    device_id: uuid.UUID | None
    profile_id: uuid.UUID | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Events that a reader has not had yet, in order, and the `position` from which to read on.

    `missed`: the reader's position was of no use, and there may have been any events in between. It must look at
    everything that it knows from events once more, after it has taken over `position`. `more`: read on at once.
    """

    events: list[LoggedEvent]
    position: str
    missed: bool = False
    more: bool = False
