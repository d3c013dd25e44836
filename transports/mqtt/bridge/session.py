"""One session at the broker: the loop that keeps it connected, and passes what arrives to the delivery."""

import contextlib
import logging
import socket
import time
from collections.abc import Callable

from paho.mqtt.client import MQTTv5

from transports.mqtt.bridge.account import Account
from transports.mqtt.bridge.backoff import Backoff
from transports.mqtt.bridge.connection import BrokerConnection
from transports.mqtt.bridge.delivery import Delivery
from transports.mqtt.bridge.device_data import DeviceData
from transports.mqtt.bridge.inflight import InflightRequest
from transports.mqtt.bridge.messages import Answer, Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy

log = logging.getLogger(__name__)

# How long a stopping session goes on with what is in flight; the process has 10 s in all.
STOP_WITHIN_S = 7.0
# After a connection that lasted this long, the next outage begins with the shortest wait again.
STEADY_AFTER_S = 10.0
LONGEST_WAIT_S = 10.0


class Session:
    """Serves one session until stopped. `run` owns everything; `stop` may be called from anywhere, a signal handler too.

    Subclasses say when to connect and as whom, and what to do when the connection is ready or over.
    """

    # What is not done while there is no connection, for the log.
    purpose = ""

    def __init__(
        self, account: Account, answering: ReplyPolicy, data: DeviceData | None = None, max_age_s: float = float("inf")
    ) -> None:
        self._account = account
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._delivery = Delivery(answering, self._wake, data, max_age_s=max_age_s)
        self._connection: BrokerConnection | None = None
        self._version = MQTTv5
        self._reconnect = Backoff(0.5, LONGEST_WAIT_S)
        self._was_ready = False
        self._ready_since = 0.0
        self._outage_logged = False
        self._stop_by: float | None = None
        self._stopping = False

    def run(self) -> bool:
        """Serve until stopped. Return whether everything in flight was finished, and the database is available."""
        while not self._is_finished():
            try:
                self._turn()
            except Exception:
                # paho may be in any state now; the broker will deliver again what was not acknowledged.
                log.exception("The bridge met an error; it goes on with a new connection")
                self._drop("An error of the bridge.")
        if self._connection:
            self._connection.close()
        return self._delivery.unfinished == 0 and not self._delivery.waits_for_database

    def stop(self) -> None:
        """Take nothing more, finish what is in flight, disconnect."""
        self._stopping = True
        self._wake()

    def is_ready(self) -> bool:
        """Return whether the broker has granted the subscriptions. From any thread."""
        return self._was_ready and not self._stopping

    def send(self, answer: Answer, on_done: Callable[[], None]) -> None:
        """Publish `answer`, on this connection or the next; `on_done` is called when the broker has it. From any thread."""
        self._delivery.send(answer, on_done)

    # --- called by the connection ---------------------------------------------------------------

    def accepted(self, *, session_present: bool) -> None:
        assert self._connection
        self._delivery.connected(self._connection, session_present=session_present)

    def may_serve_alone(self) -> bool:
        """Return whether this session may go on where the broker has no shared subscriptions."""
        raise NotImplementedError

    def arrived(self, message: Message, mid: int) -> None:
        self._delivery.arrived(message, mid)

    def handed_over(self, request: InflightRequest, problem: str) -> None:
        self._delivery.handed_over(request, problem)

    # --- what subclasses decide -----------------------------------------------------------------

    def _may_connect(self) -> bool:
        raise NotImplementedError

    def _present_account(self) -> Account:
        return self._account

    def _may_begin_to_stop(self) -> bool:
        return True

    def _begin_to_stop(self) -> None:
        self._delivery.taking = False

    def _attend(self, connection: BrokerConnection) -> None:
        """Called after each turn of a connection. It may end the connection, or leave it."""

    def _became_ready(self, connection: BrokerConnection) -> None:
        raise NotImplementedError

    def _explained(self, _connection: BrokerConnection | None, why: str) -> str:
        """Return why the connection is over, if that is known better than by `why`."""
        return why

    def _tries_again_at_once(self, _connection: BrokerConnection) -> bool:
        return False

    def _outage(self, why: str) -> None:
        """Called each time that there is no connection."""

    # --- the loop --------------------------------------------------------------------------------

    def _turn(self) -> None:
        if self._stopping and self._stop_by is None and self._may_begin_to_stop():
            self._stop_by = time.monotonic() + STOP_WITHIN_S
            self._begin_to_stop()
        connection = self._connection or self._open()
        if connection:
            connection.turn(self._woken, min(1.0, self._delivery.seconds_left()))
            self._attend(connection)
            # Otherwise it was left in order.
            if self._connection is connection:
                self._check(connection)
        else:
            self._wait(min(1.0, self._reconnect.seconds_left(), self._delivery.seconds_left()))
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        self._delivery.collect()

    def _check(self, connection: BrokerConnection) -> None:
        if connection.ended:
            self._drop(connection.ended)
        elif connection.ready and not self._was_ready:
            self._was_ready, self._outage_logged, self._ready_since = True, False, time.monotonic()
            self._became_ready(connection)

    def _wait(self, seconds: float) -> None:
        self._woken.settimeout(max(seconds, 0.001))
        with contextlib.suppress(TimeoutError):
            self._woken.recv(4096)
        self._woken.setblocking(False)

    def _wake(self) -> None:
        # When the buffer is full the loop will wake anyway.
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b"x")

    def _open(self) -> BrokerConnection | None:
        if self._reconnect.seconds_left() or not self._may_connect():
            return None
        self._connection = BrokerConnection(self._present_account(), self._version, self)
        try:
            self._connection.open()
        except OSError as err:
            self._drop(f"It cannot be reached: {err.strerror or err}.")
        return self._connection

    def _leave(self) -> None:
        """End the connection in order; the broker keeps the session."""
        connection, self._connection = self._connection, None
        self._delivery.disconnected()
        if connection:
            connection.close()

    def _drop(self, why: str) -> None:
        """The connection is over. Say so once per outage, and wait before the next try."""
        connection, self._connection = self._connection, None
        self._delivery.disconnected()
        why = self._explained(connection, why)
        if connection:
            connection.finish()
            if self._tries_again_at_once(connection):
                return
        if self._was_ready and time.monotonic() - self._ready_since > STEADY_AFTER_S:
            self._reconnect.reset()
        self._was_ready = False
        self._reconnect.failed()
        if not self._outage_logged:
            self._outage_logged = True
            what = f"{self.purpose}: no" if self.purpose else "No"
            log.warning("%s connection to the broker %s. %s Trying again until it is there.", what, self._account.broker, why)
        self._outage(why)

    def _is_finished(self) -> bool:
        if self._stop_by is None:
            return False
        return self._delivery.unfinished == 0 or time.monotonic() > self._stop_by
