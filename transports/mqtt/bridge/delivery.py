"""What the bridge does with each message, from its arrival to its acknowledgement, across connections.

A request is acknowledged once its transaction has committed and the broker has confirmed its reply (PUBACK). While the
database is unavailable requests are held, unacknowledged (circuit_breaker).
"""

import logging
import math
import queue
from collections.abc import Callable
from typing import Protocol

from transports.mqtt.bridge.circuit_breaker import CircuitBreaker
from transports.mqtt.bridge.device_data import DeviceData
from transports.mqtt.bridge.inflight import InflightRequest, InflightRequests
from transports.mqtt.bridge.messages import Answer, Message, Outcome
from transports.mqtt.bridge.reply_policy import ReplyPolicy, failure_reply, to_outcome

log = logging.getLogger(__name__)

# Requests at QoS 0 know no flow control. What comes beyond this many bytes in flight is dropped: its sender asks again.
MAX_INFLIGHT_BYTES = 64 * 1024 * 1024


class ReplyChannel(Protocol):
    """The present connection, as the delivery sees it."""

    def publish(self, request: InflightRequest, answer: Answer) -> None: ...
    def acknowledge(self, mid: int) -> None: ...


class Delivery:
    """Owns all requests in flight. One thread owns it; `wake` is called from others, when there is something to collect."""

    def __init__(
        self, answering: ReplyPolicy, wake: Callable[[], None], data: DeviceData | None = None, max_age_s: float = math.inf
    ) -> None:
        self.channel: ReplyChannel | None = None
        self.taking = True
        self._answering = answering
        self._data = data
        self._max_age_s = max_age_s
        self._wake = wake
        self._inflight = InflightRequests()
        self._outcomes: queue.SimpleQueue[tuple[InflightRequest, Outcome]] = queue.SimpleQueue()
        self._to_send: queue.SimpleQueue[InflightRequest] = queue.SimpleQueue()
        self._woken = False
        self._breaker = CircuitBreaker()
        self._logged_dropping = self._logged_shared = self._logged_refused = self._logged_stale = False

    @property
    def unfinished(self) -> int:
        """How many requests are being answered now; those that wait for the database are not among them."""
        return self._inflight.unanswered() - len(self._breaker)

    @property
    def waits_for_database(self) -> bool:
        return not self._breaker.is_closed

    # --- called by the connection ---------------------------------------------------------------

    def connected(self, channel: ReplyChannel, *, session_present: bool) -> None:
        if not session_present:
            self._inflight.session_lost()
        self.channel = channel
        self._logged_refused = self._logged_stale = False
        for request in self._inflight.answered():
            self._publish(request)

    def disconnected(self) -> None:
        self.channel = None
        self._inflight.connection_lost()

    def arrived(self, message: Message, mid: int) -> None:
        """Take a request. An internal error is answered like any failure, so that the broker does not repeat the request."""
        if mid and (known := self._inflight.repeated(message, mid)):
            self._complete(known)
        elif mid and self._inflight.was_completed(message, mid):
            self._acknowledge(mid)
        elif self.taking or not mid:
            self._take(message, mid)

    def handed_over(self, request: InflightRequest, problem: str) -> None:
        """The broker has the answer, or will not take it: either way there is nothing more to do."""
        if problem and not self._logged_refused:
            self._logged_refused = True
            log.error("The broker does not take the bridge's replies: %s. Its ACL must let the bridge publish them.", problem)
        request.handed_over = True
        self._complete(request)

    def send(self, answer: Answer, on_done: Callable[[], None]) -> None:
        """Publish what no device has asked for; `on_done` is called when the broker has it. From any thread."""
        self._to_send.put(InflightRequest(Message("", b""), 0, answer.topic, answer=answer, on_done=on_done))
        self._wake_once()

    # --- what is due -----------------------------------------------------------------------------

    def collect(self) -> None:
        """Send the answers that have become known, and try again what was held when it is time."""
        # First, so that a reply which comes from now on wakes us once more.
        self._woken = False
        while not self._outcomes.empty():
            self._settle(*self._outcomes.get())
        while not self._to_send.empty():
            request = self._to_send.get()
            self._inflight.add(request)
            self._publish(request)
        if trial := self._breaker.next_trial():
            self._ask(trial)

    def seconds_left(self) -> float:
        """Return after how many seconds `collect` has something to do, if nothing happens."""
        return self._breaker.seconds_left()

    # --- within ----------------------------------------------------------------------------------

    def _take(self, message: Message, mid: int) -> None:
        if self._data and self._data.takes(message.topic):
            self._take_data(self._data, message, mid)
            return
        probe = self._answering.answer_probe(message)
        topic = probe.topic if probe else self._answering.response_topic(message)
        if not topic or (not mid and self._inflight.body_bytes > MAX_INFLIGHT_BYTES):
            self._leave_unanswered(message, mid, dropped=bool(topic))
            return
        request = InflightRequest(message, mid, topic, answer=probe)
        self._inflight.add(request)
        if probe:
            self._publish(request)
        elif not self._breaker.is_closed:
            self._breaker.hold(request)
        else:
            self._ask(request)

    def _take_data(self, data: DeviceData, message: Message, mid: int) -> None:
        full = not mid and self._inflight.body_bytes > MAX_INFLIGHT_BYTES
        # A retained message is one from the past, delivered to every new subscription.
        if full or message.retained or message.own:
            self._leave_unanswered(message, mid, dropped=full)
            return
        request = InflightRequest(message, mid, "")
        self._inflight.add(request)
        self._ask_data(data, request)

    def _ask_data(self, data: DeviceData, request: InflightRequest) -> None:
        data.serve(request.message).add_done_callback(lambda done: self._put(request, done.result()))

    def _leave_unanswered(self, message: Message, mid: int, *, dropped: bool) -> None:
        if dropped and not self._logged_dropping:
            self._logged_dropping = True
            log.warning("More requests wait than the bridge can hold; those at QoS 0 are dropped.")
        elif message.topic == self._answering.topics.shared_request and not message.retained and not self._logged_shared:
            self._logged_shared = True
            log.warning("A request came on the shared topic %s and was not answered; see docs/mqtt.md.", message.topic)
        if mid:
            self._acknowledge(mid)

    def _ask(self, request: InflightRequest) -> None:
        if self._data and self._data.takes(request.message.topic):
            self._ask_data(self._data, request)
            return
        if request.is_stale(self._max_age_s):
            self._drop_stale(request)
            return
        try:
            reply = self._answering.reply_to(request.message, request.response_topic)
        except Exception:
            log.exception("A request over MQTT failed unexpectedly")
            self._answer(request, failure_reply(request.message, request.response_topic))
            return
        topic = request.response_topic
        reply.add_done_callback(lambda done: self._put(request, to_outcome(done.result(), request.message, topic)))

    def _drop_stale(self, request: InflightRequest) -> None:
        """Leave a request unanswered that waited for the database until its device gave up.

        Answered, it would leave a device whose credentials nobody has.
        """
        if not self._logged_stale:
            self._logged_stale = True
            log.warning("Requests that waited for the database for too long are dropped: their devices have given up.")
        self._put(request, Outcome())

    def _put(self, request: InflightRequest, outcome: Outcome) -> None:
        """Runs in the thread that made the outcome."""
        self._outcomes.put((request, outcome))
        self._wake_once()

    def _wake_once(self) -> None:
        if not self._woken:
            self._woken = True
            self._wake()

    def _settle(self, request: InflightRequest, outcome: Outcome) -> None:
        if outcome.held:
            self._breaker.failed(request)
            return
        if outcome.answer is None:
            self.handed_over(request, "")
        else:
            self._answer(request, outcome.answer)
        for released in self._breaker.served(request):
            self._ask(released)

    def _answer(self, request: InflightRequest, answer: Answer) -> None:
        request.answer = answer
        self._publish(request)

    def _publish(self, request: InflightRequest) -> None:
        if self.channel and request.answer:
            self.channel.publish(request, request.answer)

    def _complete(self, request: InflightRequest) -> None:
        """Acknowledge and forget `request`, once its answer is handed over and the broker waits for it on this connection."""
        if not request.handed_over or (request.mid and not (request.delivered and self.channel)):
            return
        if request.mid:
            self._acknowledge(request.mid)
        self._inflight.complete(request)
        if request.on_done:
            request.on_done()
        self._logged_dropping = self._logged_dropping and self._inflight.body_bytes > MAX_INFLIGHT_BYTES // 2

    def _acknowledge(self, mid: int) -> None:
        if self.channel:
            self.channel.acknowledge(mid)
