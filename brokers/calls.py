"""What a broker asks and what it is answered, before and after its dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brokers.models import Broker


class NotUnderstood(Exception):
    """A call that does not have the form of its dialect. The text holds nothing of the call."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of `broker`. `name` is the last part of its path, or what the broker calls it; `fields` its body."""

    broker: Broker
    name: str
    fields: Mapping[str, Any] = field(repr=False)

    def text(self, name: str) -> str:
        """Return a field as text, "" if it is absent or null. Raises NotUnderstood for what is no text or number."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise NotUnderstood(f"The field {name} is no text.")
        return str(value)


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a call was denied, for the operator."""

    reason: str
    client_id: str = ""
    address: str = ""
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the broker gets. `denial` is set if it is a denial."""

    body: bytes
    denial: Denial | None = None
    content_type: str = "application/json"
    status: int = 200
