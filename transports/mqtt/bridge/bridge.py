"""The bridge's loop: keeps a connection to the broker, and passes what arrives to the delivery."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from paho.mqtt.client import MQTTv5, MQTTv311

from transports.mqtt.bridge.account import Account
from transports.mqtt.bridge.backoff import Backoff
from transports.mqtt.bridge.connection import TAKEN_OVER, VERSION_NAMES, BrokerConnection
from transports.mqtt.bridge.delivery import Delivery
from transports.mqtt.bridge.device_data import DeviceData
from transports.mqtt.bridge.inflight import InflightRequest
from transports.mqtt.bridge.messages import Answer, Message
from transports.mqtt.bridge.probe import Verdict, probe
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.broker_address import BrokerAddress

log = logging.getLogger(__name__)

# How long a stopping bridge goes on with what is in flight; the process has 10 s in all.
STOP_WITHIN_S = 7.0
# After a connection that lasted this long, the next outage begins with the shortest wait again.
STEADY_AFTER_S = 10.0
LONGEST_WAIT_S = 10.0
# With other bridges there, the broker keeps requests for one that is gone no longer than this.
KEPT_WITH_PEERS_S = 5


class Reporter(Protocol):
    """Where the bridge says how it is; operations.heartbeat.Beating is one."""

    def report(self, *, ready: bool, note: str = "") -> None: ...
    def has_peers(self) -> bool: ...
    def may_serve_alone(self) -> bool: ...
    def has_twin(self, *, ready: bool) -> bool: ...
    @property
    def is_alone(self) -> bool: ...
    @property
    def peers(self) -> bool: ...


class Bridge:
    """Serves one broker until stopped. `run` owns everything; `stop` may be called from anywhere, a signal handler too."""

    def __init__(
        self,
        account: Account,
        devices: BrokerAddress,
        answering: ReplyPolicy,
        reporter: Reporter,
        data: DeviceData | None = None,
    ) -> None:
        self._account = account
        self._devices = devices
        self._answering = answering
        self._reporter = reporter
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._data = data
        self._delivery = Delivery(answering, self._wake, data, max_age_s=account.session_expiry_s)
        self._connection: BrokerConnection | None = None
        self._version = MQTTv5
        self._reconnect = Backoff(0.5, LONGEST_WAIT_S)
        self._was_ready = self._has_spoken_5 = False
        self._ready_since = self._stays_out_until = 0.0
        self._outage_logged = False
        self._verdict: Verdict | None = None
        self._probing: threading.Thread | None = None
        self._stop_by: float | None = None
        self._stopping = self._renewing = False

    def run(self) -> bool:
        """Serve until stopped. Return whether everything in flight was finished, and the database is available."""
        self._report(f"connecting to {self._account.broker}")
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
        """Return whether the broker has granted this bridge its subscriptions. From any thread."""
        return self._was_ready and not self._stopping

    def send(self, answer: Answer, on_done: Callable[[], None]) -> None:
        """Publish `answer`, on this connection or the next; `on_done` is called when the broker has it. From any thread."""
        self._delivery.send(answer, on_done)

    # --- called by the connection ---------------------------------------------------------------

    def accepted(self, *, session_present: bool) -> None:
        assert self._connection
        self._delivery.connected(self._connection, session_present=session_present)

    def may_serve_alone(self) -> bool:
        return self._reporter.may_serve_alone()

    def arrived(self, message: Message, mid: int) -> None:
        self._delivery.arrived(message, mid)

    def handed_over(self, request: InflightRequest, problem: str) -> None:
        self._delivery.handed_over(request, problem)

    # --- the loop --------------------------------------------------------------------------------

    def _turn(self) -> None:
        # A bridge that renews its connection is ready again in a moment, and can then leave in order.
        if self._stopping and self._stop_by is None and not self._renewing:
            self._begin_to_stop()
        connection = self._connection or self._open()
        if connection:
            connection.turn(self._woken, min(1.0, self._delivery.seconds_left()))
            if connection.ready and not connection.shared and not self._reporter.is_alone:
                connection.give_way()
            self._renewing = self._renewing and not connection.ready
            if connection.ended:
                self._drop(connection.ended)
            elif connection.ready and not self._was_ready:
                self._became_ready(connection)
            elif connection.ready and connection.shared and connection.session_expiry_s != self._session_expiry_s():
                self._renew(connection)
        else:
            self._wait(min(1.0, self._reconnect.seconds_left(), self._delivery.seconds_left()))
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        self._delivery.collect()

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
        if self._reconnect.seconds_left() or self._must_stay_out():
            return None
        account = replace(self._account, session_expiry_s=self._session_expiry_s())
        self._connection = BrokerConnection(account, self._version, self)
        try:
            self._connection.open()
        except OSError as err:
            self._drop(f"It cannot be reached: {err.strerror or err}.")
        return self._connection

    def _must_stay_out(self) -> bool:
        """Return whether another bridge has taken over this one's client id, and serves. Both would evict each other for ever."""
        if not self._stays_out_until:
            return False
        if time.monotonic() >= self._stays_out_until:
            self._stays_out_until = time.monotonic() + LONGEST_WAIT_S if self._reporter.has_twin(ready=True) else 0.0
        return bool(self._stays_out_until)

    def _session_expiry_s(self) -> int:
        kept_s = self._account.session_expiry_s
        return min(kept_s, KEPT_WITH_PEERS_S) if self._reporter.peers else kept_s

    def _renew(self, connection: BrokerConnection) -> None:
        """Connect once more, since MQTT 5 lets a client say only in CONNECT how long its session is kept."""
        kept_s = self._session_expiry_s()
        what = "Other bridges share the work" if self._reporter.peers else "No other bridge is left"
        log.info("%s: the broker keeps requests for this bridge for %s s.", what, kept_s)
        self._delivery.disconnected()
        connection.close()
        self._connection = None
        self._renewing = True

    def _drop(self, why: str) -> None:
        """The connection is over. Say so once per outage, and choose the protocol version for the next try."""
        connection, self._connection = self._connection, None
        self._renewing = False
        self._delivery.disconnected()
        # Mosquitto 2.0 closes the connection without the reason code.
        if connection and connection.was_accepted and self._reporter.has_twin(ready=False):
            why = TAKEN_OVER
        if why == TAKEN_OVER:
            self._stays_out_until = time.monotonic() + LONGEST_WAIT_S
        if connection:
            connection.finish()
            if self._choose_version(connection):
                return
        if self._was_ready and time.monotonic() - self._ready_since > STEADY_AFTER_S:
            self._reconnect.reset()
        self._was_ready = False
        self._reconnect.failed()
        if not self._outage_logged:
            self._outage_logged = True
            log.warning("No connection to the broker %s. %s Trying again until it is there.", self._account.broker, why)
        self._report(f"no connection to {self._account.broker}: {why}")

    def _choose_version(self, connection: BrokerConnection) -> bool:
        """Fall back to MQTT 3.1.1 where the broker refuses 5, or hangs up on it and was never heard to speak it.

        Return whether it refused, so that a next try makes sense at once.
        """
        self._has_spoken_5 = self._has_spoken_5 or (connection.was_accepted and connection.version == MQTTv5)
        if connection.version == MQTTv5 and connection.version_refused:
            self._version = MQTTv311
            return True
        if not connection.was_accepted and connection.was_opened and not self._has_spoken_5:
            self._version = MQTTv311 if connection.version == MQTTv5 else MQTTv5
        return False

    def _became_ready(self, connection: BrokerConnection) -> None:
        self._was_ready, self._outage_logged, self._ready_since = True, False, time.monotonic()
        how = "on a shared subscription" if connection.shared else "without a shared subscription: run no other bridge"
        log.info("Connected to the broker %s, %s, %s.", self._account.broker, VERSION_NAMES[connection.version], how)
        self._report()
        self._start_probe()

    # --- does the broker keep replies apart? -----------------------------------------------------

    def _start_probe(self) -> None:
        if self._probing is None or not self._probing.is_alive():
            self._probing = threading.Thread(target=self._probe, name="probe", daemon=True)
            self._probing.start()

    def _probe(self) -> None:
        try:
            verdict = probe(self._devices, self._answering.topics)
        except Exception:
            log.exception("The probe of the broker failed")
            verdict = Verdict.UNANSWERED
        if verdict != self._verdict:
            text = verdict.explanation(shared=self._answering.shared, topics=self._answering.topics)
            log.log(logging.INFO if verdict is Verdict.ISOLATED else logging.WARNING, "%s", text)
        self._verdict = verdict
        self._report()

    def _report(self, trouble: str = "") -> None:
        """Write into the heartbeat how things stand."""
        connection = self._connection
        is_ready = connection is not None and connection.ready
        if not (self._stopping or trouble or is_ready):
            # A probe that ends after its connection: what is wrong has been reported.
            return
        if self._stopping or trouble or connection is None or not is_ready:
            self._reporter.report(ready=False, note="stopping" if self._stopping else trouble)
            return
        how = f"{VERSION_NAMES[connection.version]}{', shared subscription' if connection.shared else ''}"
        found = self._verdict.label if self._verdict else "finding out whether the broker keeps replies apart"
        self._reporter.report(ready=True, note=f"{self._account.broker}, {how}; {found}")

    # --- stopping --------------------------------------------------------------------------------

    def _begin_to_stop(self) -> None:
        """Where other bridges share the work they get the requests that come now; else the broker keeps them for our return."""
        self._stop_by = time.monotonic() + STOP_WITHIN_S
        if self._data:
            self._data.stop()
        self._report()
        connection = self._connection
        on_shared = connection is not None and connection.ready and connection.shared
        if connection and on_shared and not self._delivery.waits_for_database and self._reporter.has_peers():
            connection.leave()
        else:
            self._delivery.taking = False

    def _is_finished(self) -> bool:
        if self._stop_by is None:
            return False
        return self._delivery.unfinished == 0 or time.monotonic() > self._stop_by
