"""The requests that a bridge has taken and not yet seen off, and how each is known again when the broker repeats it.

A broker repeats what was not acknowledged when the connection comes back. Such a request may have been committed long
since: asked twice, a device of a strict profile would be told FAILURE. So the bridge knows it by packet id and content.
"""

from collections import OrderedDict
from dataclasses import dataclass

from transports.mqtt.bridge.messages import Answer, Message

# Acknowledgements that may have been lost with a connection: no more than fit into any broker's window.
MAX_REMEMBERED = 2_000


@dataclass(slots=True, eq=False)
class InflightRequest:
    """One request in hand. `mid` is its packet id, 0 when there is nothing to acknowledge (QoS 0, or a session that is gone)."""

    message: Message
    mid: int
    response_topic: str
    # Whether the broker has delivered it on the connection that stands; only there can it be acknowledged.
    delivered: bool = True
    answer: Answer | None = None
    handed_over: bool = False


class InflightRequests:
    """All requests in hand. One thread owns it."""

    def __init__(self) -> None:
        self._by_mid: dict[int, InflightRequest] = {}
        self._without_mid: set[InflightRequest] = set()
        self._completed: OrderedDict[int, bytes] = OrderedDict()
        self.body_bytes = 0

    def unanswered(self) -> int:
        """Return how many have not been handed over; one that has may yet have to be acknowledged."""
        return sum(not taken.handed_over for taken in (*self._by_mid.values(), *self._without_mid))

    def add(self, taken: InflightRequest) -> None:
        if taken.mid:
            if replaced := self._by_mid.get(taken.mid):
                # The broker gave the packet id to another message: the former is not to be acknowledged any more.
                replaced.mid = 0
                self._without_mid.add(replaced)
            self._by_mid[taken.mid] = taken
            self._completed.pop(taken.mid, None)
        else:
            self._without_mid.add(taken)
        self.body_bytes += len(taken.message.body)

    def repeated(self, message: Message, mid: int) -> InflightRequest | None:
        """Return the request in hand that `message` repeats, now to be acknowledged on this connection."""
        taken = self._by_mid.get(mid)
        if taken is None or taken.message.fingerprint() != message.fingerprint():
            return None
        taken.delivered = True
        return taken

    def was_completed(self, message: Message, mid: int) -> bool:
        """Return whether `message` has been answered already, and only its acknowledgement was lost."""
        # Without DUP it is a new message: some brokers use the lowest free packet id again at once.
        return message.repeated and self._completed.get(mid) == message.fingerprint()

    def complete(self, taken: InflightRequest) -> None:
        """Forget a request that has been answered, and acknowledged where it can be."""
        if taken.mid:
            del self._by_mid[taken.mid]
            self._completed[taken.mid] = taken.message.fingerprint()
            self._completed.move_to_end(taken.mid)
            if len(self._completed) > MAX_REMEMBERED:
                self._completed.popitem(last=False)
        else:
            self._without_mid.discard(taken)
        self.body_bytes -= len(taken.message.body)

    def connection_lost(self) -> None:
        """Nothing can be acknowledged until the broker has delivered it again."""
        for taken in self._by_mid.values():
            taken.delivered = False

    def session_lost(self) -> None:
        """The broker has forgotten everything: what is in hand is still answered, and not acknowledged."""
        for taken in self._by_mid.values():
            taken.mid = 0
            self._without_mid.add(taken)
        self._by_mid.clear()
        self._completed.clear()

    def answered(self) -> list[InflightRequest]:
        """Return those whose answer is known and has not been handed over."""
        return [taken for taken in (*self._by_mid.values(), *self._without_mid) if taken.answer and not taken.handed_over]
