"""The requests that a bridge has received and not completed, and how it recognises one that the broker repeats.

A broker repeats what was not acknowledged when the connection comes back. Such a request may have been committed
already: provisioned twice, a device of a strict profile would get FAILURE. So the bridge recognises it by packet id and content.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from transports.mqtt.bridge.messages import Answer, Message

# Acknowledgements that may have been lost with a connection: no more than fit into any broker's window.
MAX_REMEMBERED = 2_000


@dataclass(slots=True, eq=False)
class InflightRequest:
    """One request in flight. `mid` is its packet id, 0 if there is nothing to acknowledge (QoS 0, or a lost session)."""

    message: Message
    mid: int
    response_topic: str
    # Whether the broker has delivered it on the current connection; only there can it be acknowledged.
    delivered: bool = True
    answer: Answer | None = None
    handed_over: bool = False
    arrived_at: float = field(default_factory=time.monotonic)
    # For what the bridge sends of its own accord: called once the broker has it.
    on_done: Callable[[], None] | None = None

    def is_stale(self, max_age_s: float) -> bool:
        """Return whether the device has stopped waiting: `max_age_s` after its request, or earlier if the request says so."""
        limit = max_age_s if self.message.expires_in_s is None else min(max_age_s, self.message.expires_in_s)
        return time.monotonic() - self.arrived_at > limit


class InflightRequests:
    """All requests in flight. One thread owns it."""

    def __init__(self) -> None:
        self._by_mid: dict[int, InflightRequest] = {}
        self._without_mid: set[InflightRequest] = set()
        self._completed: OrderedDict[int, bytes] = OrderedDict()
        self.body_bytes = 0

    def unanswered(self) -> int:
        """Return how many have not been handed over; one that has may yet have to be acknowledged."""
        return sum(not request.handed_over for request in (*self._by_mid.values(), *self._without_mid))

    def add(self, request: InflightRequest) -> None:
        if request.mid:
            if replaced := self._by_mid.get(request.mid):
                # The broker gave the packet id to another message: the former is not to be acknowledged any more.
                replaced.mid = 0
                self._without_mid.add(replaced)
            self._by_mid[request.mid] = request
            self._completed.pop(request.mid, None)
        else:
            self._without_mid.add(request)
        self.body_bytes += len(request.message.body)

    def repeated(self, message: Message, mid: int) -> InflightRequest | None:
        """Return the request in flight that `message` repeats, now to be acknowledged on this connection."""
        request = self._by_mid.get(mid)
        if request is None or request.message.fingerprint() != message.fingerprint():
            return None
        request.delivered = True
        return request

    def was_completed(self, message: Message, mid: int) -> bool:
        """Return whether `message` has been answered already, and only its acknowledgement was lost."""
        # Without DUP it is a new message: some brokers use the lowest free packet id again at once.
        return message.repeated and self._completed.get(mid) == message.fingerprint()

    def complete(self, request: InflightRequest) -> None:
        """Forget a request that has been answered, and acknowledged where it can be."""
        if request.mid:
            del self._by_mid[request.mid]
            self._completed[request.mid] = request.message.fingerprint()
            self._completed.move_to_end(request.mid)
            if len(self._completed) > MAX_REMEMBERED:
                self._completed.popitem(last=False)
        else:
            self._without_mid.discard(request)
        self.body_bytes -= len(request.message.body)

    def connection_lost(self) -> None:
        """Nothing can be acknowledged until the broker has delivered it again."""
        for request in self._by_mid.values():
            request.delivered = False

    def session_lost(self) -> None:
        """The broker has forgotten everything: what is in flight is still answered, and not acknowledged."""
        for request in self._by_mid.values():
            request.mid = 0
            self._without_mid.add(request)
        self._by_mid.clear()
        self._completed.clear()

    def answered(self) -> list[InflightRequest]:
        """Return those whose answer is known and has not been handed over."""
        return [request for request in (*self._by_mid.values(), *self._without_mid) if request.answer and not request.handed_over]
