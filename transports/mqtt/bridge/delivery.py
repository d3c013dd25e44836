"""From taken request to acknowledgement: what the bridge does with the messages, whichever connection stands.

A request is acknowledged once its transaction has committed and the broker has confirmed its reply (PUBACK). While the
database is away requests are held, unacknowledged, and one of them is tried again from time to time; when that one gets
through, all are.
"""

import logging
import queue
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from transports.handler import Reply
from transports.mqtt.bridge.backoff import Backoff
from transports.mqtt.bridge.inflight import InflightRequest, InflightRequests
from transports.mqtt.bridge.messages import Answer, Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy, failure_reply, to_answer

log = logging.getLogger(__name__)

# Requests at QoS 0 know no flow control. What comes beyond this many bytes in hand is dropped: its sender asks again.
MAX_BYTES_IN_HAND = 64 * 1024 * 1024


class ReplyChannel(Protocol):
    """The connection that stands, as the desk sees it."""

    def publish(self, taken: InflightRequest, answer: Answer) -> None: ...
    def acknowledge(self, mid: int) -> None: ...


class Delivery:
    """Holds all requests in hand. One thread owns it; `wake` is called from others, when there is something to collect."""

    def __init__(self, answering: ReplyPolicy, wake: Callable[[], None]) -> None:
        self.channel: ReplyChannel | None = None
        self.taking = True
        self._answering = answering
        self._wake = wake
        self._inflight = InflightRequests()
        self._replies: queue.SimpleQueue[tuple[InflightRequest, Reply]] = queue.SimpleQueue()
        self._called = False
        self._held: deque[InflightRequest] = deque()
        self._trial: InflightRequest | None = None
        self._retry = Backoff(0.25, 2.0)
        self._told_dropping = self._told_shared = self._told_refused = False

    @property
    def unfinished(self) -> int:
        """How many requests are being answered now; those that wait for the database are not among them."""
        return self._inflight.unanswered() - len(self._held) - (self._trial is not None)

    @property
    def waits_for_database(self) -> bool:
        return bool(self._held or self._trial)

    # --- what the connection tells ---------------------------------------------------------------

    def connected(self, channel: ReplyChannel, *, session_present: bool) -> None:
        if not session_present:
            self._inflight.session_lost()
        self.channel = channel
        self._told_refused = False
        for taken in self._inflight.answered():
            self._publish(taken)

    def disconnected(self) -> None:
        self.channel = None
        self._inflight.connection_lost()

    def arrived(self, message: Message, mid: int) -> None:
        """Take a request. An error of ours is answered like any failure, so that it comes back to nobody."""
        if mid and (known := self._inflight.repeated(message, mid)):
            self._complete(known)
        elif mid and self._inflight.was_completed(message, mid):
            self._acknowledge(mid)
        elif self.taking or not mid:
            self._take(message, mid)

    def handed_over(self, taken: InflightRequest, problem: str) -> None:
        """The broker has the answer, or will not take it: either way there is nothing more to do."""
        if problem and not self._told_refused:
            self._told_refused = True
            log.error("The broker does not take the bridge's replies: %s. Its ACL must let the bridge publish them.", problem)
        taken.handed_over = True
        self._complete(taken)

    # --- what is due -----------------------------------------------------------------------------

    def collect(self) -> None:
        """Send the answers that have become known, and try again what was held when it is time."""
        # First, so that a reply which comes from now on wakes us once more.
        self._called = False
        while not self._replies.empty():
            self._settle(*self._replies.get())
        if self._held and self._trial is None and not self._retry.seconds_left():
            self._trial = self._held.popleft()
            self._ask(self._trial)

    def seconds_left(self) -> float:
        """Return after how many seconds `collect` has something to do, if nothing happens."""
        return self._retry.seconds_left() if self._held and self._trial is None else 60.0

    # --- within ----------------------------------------------------------------------------------

    def _take(self, message: Message, mid: int) -> None:
        probe = self._answering.answer_probe(message)
        topic = probe.topic if probe else self._answering.response_topic(message)
        if not topic or (not mid and self._inflight.body_bytes > MAX_BYTES_IN_HAND):
            self._leave_unanswered(message, mid, dropped=bool(topic))
            return
        taken = InflightRequest(message, mid, topic, answer=probe)
        self._inflight.add(taken)
        if probe:
            self._publish(taken)
        elif self.waits_for_database:
            self._held.append(taken)
        else:
            self._ask(taken)

    def _leave_unanswered(self, message: Message, mid: int, *, dropped: bool) -> None:
        if dropped and not self._told_dropping:
            self._told_dropping = True
            log.warning("More requests wait than the bridge can hold; those at QoS 0 are dropped.")
        elif message.topic == self._answering.topics.shared_request and not message.retained and not self._told_shared:
            self._told_shared = True
            log.warning("A request came on the shared topic %s and was not answered; see docs/mqtt.md.", message.topic)
        if mid:
            self._acknowledge(mid)

    def _ask(self, taken: InflightRequest) -> None:
        try:
            reply = self._answering.reply_to(taken.message)
        except Exception:
            log.exception("A request over MQTT failed unexpectedly")
            self._answer(taken, failure_reply(taken.message, taken.response_topic))
            return
        reply.add_done_callback(lambda done: self._put(taken, done))

    def _put(self, taken: InflightRequest, done: "Future[Reply]") -> None:
        """Runs in the thread that made the reply."""
        self._replies.put((taken, done.result()))
        if not self._called:
            self._called = True
            self._wake()

    def _settle(self, taken: InflightRequest, reply: Reply) -> None:
        answer = to_answer(reply, taken.message, taken.response_topic)
        was_scout = taken is self._trial
        if was_scout:
            self._trial = None
        if answer is None:
            if was_scout or not self._held:
                self._retry.failed()
            self._held.appendleft(taken)
            return
        self._answer(taken, answer)
        if was_scout:
            self._retry.reset()
            waiting, self._held = self._held, deque()
            for other in waiting:
                self._ask(other)

    def _answer(self, taken: InflightRequest, answer: Answer) -> None:
        taken.answer = answer
        self._publish(taken)

    def _publish(self, taken: InflightRequest) -> None:
        if self.channel and taken.answer:
            self.channel.publish(taken, taken.answer)

    def _complete(self, taken: InflightRequest) -> None:
        """Acknowledge and forget `taken`, once its answer is handed over and the broker waits for it on this connection."""
        if not taken.handed_over or (taken.mid and not (taken.delivered and self.channel)):
            return
        if taken.mid:
            self._acknowledge(taken.mid)
        self._inflight.complete(taken)
        self._told_dropping = self._told_dropping and self._inflight.body_bytes > MAX_BYTES_IN_HAND // 2

    def _acknowledge(self, mid: int) -> None:
        if self.channel:
            self.channel.acknowledge(mid)
