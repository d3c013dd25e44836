"""What follows from a message of a device."""

import uuid
from dataclasses import dataclass, field

# Messages at QoS 2 of one client that may wait for its PUBREL; also what clients hear of session limits.
MAX_INFLIGHT = 100


class MessageRefused(Exception):
    """A message that is not kept. A client that speaks MQTT 5 gets `reason`; in MQTT 3.1.1 the connection ends.

    Source: docs/protocol.md, *Acknowledgements*.
    """

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What is published to a client in answer to its message."""

    topic: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Served:
    """What follows from a message: answers, and the children by name whose changes a gateway hears from now on, or no longer."""

    answers: tuple[Answer, ...] = ()
    children: dict[str, uuid.UUID] = field(default_factory=dict)
    disconnected: str = ""
