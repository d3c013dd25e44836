"""Writing to the event log."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.transaction import TransactionManagementError

from events.choices import Kind
from events.models import Event

# An event that would name more keys names none: its readers then look at all of them.
MAX_KEYS = 50


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be written. `data` says what changed; it never holds a value or a secret."""

    kind: Kind
    device_id: uuid.UUID | None = None
    profile_id: uuid.UUID | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def unsaved(self) -> Event:
        return Event(kind=self.kind, device_id=self.device_id, profile_id=self.profile_id, data=dict(self.data))


def record(events: Iterable[NewEvent]) -> None:
    """Write `events`, in their order, in the transaction that makes them true.

    Raises TransactionManagementError outside of a transaction: an event must not be written without what it reports.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("Events are recorded in the transaction that makes them true.")
    Event.objects.bulk_create(event.unsaved() for event in events)


def named_keys(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the data of an event about `keys`, sorted; empty, which means any key, when there are too many to list."""
    names = sorted(set(keys))
    return {"keys": names} if len(names) <= MAX_KEYS else {}
