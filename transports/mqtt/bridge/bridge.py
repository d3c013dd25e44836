"""The bridge's session for provision requests: shares the work with other bridges, and reports how it is."""

import logging
import threading
import time
from dataclasses import replace
from typing import Protocol

from paho.mqtt.client import MQTTv5, MQTTv311

from transports.mqtt.bridge.account import Account
from transports.mqtt.bridge.connection import TAKEN_OVER, VERSION_NAMES, BrokerConnection
from transports.mqtt.bridge.probe import Verdict, probe
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.bridge.session import LONGEST_WAIT_S, Session
from transports.mqtt.broker_address import BrokerAddress

log = logging.getLogger(__name__)

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
    def peers(self) -> int: ...


class Bridge(Session):
    """Answers the provision requests on one broker until stopped."""

    def __init__(self, account: Account, devices: BrokerAddress, answering: ReplyPolicy, reporter: Reporter) -> None:
        super().__init__(account, answering, max_age_s=account.session_expiry_s)
        self._devices = devices
        self._answering = answering
        self._reporter = reporter
        self._has_spoken_5 = self._renewing = False
        self._stays_out_until = 0.0
        self._verdict: Verdict | None = None
        self._probing: threading.Thread | None = None

    def run(self) -> bool:
        """Serve until stopped. Return whether everything in flight was finished, and the database is available."""
        self._report(f"connecting to {self._account.broker}")
        return super().run()

    def may_serve_alone(self) -> bool:
        return self._reporter.may_serve_alone()

    # --- when to connect, and as whom ------------------------------------------------------------

    def _may_connect(self) -> bool:
        """Return False while another bridge that took over this one's client id serves: both would evict each other for ever."""
        if not self._stays_out_until:
            return True
        if time.monotonic() >= self._stays_out_until:
            self._stays_out_until = time.monotonic() + LONGEST_WAIT_S if self._reporter.has_twin(ready=True) else 0.0
        return not self._stays_out_until

    def _present_account(self) -> Account:
        return replace(self._account, session_expiry_s=self._session_expiry_s())

    def _session_expiry_s(self) -> int:
        kept_s = self._account.session_expiry_s
        return min(kept_s, KEPT_WITH_PEERS_S) if self._reporter.peers else kept_s

    def _attend(self, connection: BrokerConnection) -> None:
        if not connection.ready:
            return
        self._renewing = False
        if not connection.shared and not self._reporter.is_alone:
            connection.give_way()
        elif self._was_ready and connection.shared and connection.session_expiry_s != self._session_expiry_s():
            self._renew()

    def _renew(self) -> None:
        """Connect once more, since MQTT 5 lets a client say only in CONNECT how long its session is kept."""
        kept_s = self._session_expiry_s()
        what = "Other bridges share the work" if self._reporter.peers else "No other bridge is left"
        log.info("%s: the broker keeps requests for this bridge for %s s.", what, kept_s)
        self._leave()
        self._renewing = True

    # --- when the connection is over ------------------------------------------------------------

    def _explained(self, connection: BrokerConnection | None, why: str) -> str:
        self._renewing = False
        # Mosquitto 2.0 closes the connection without the reason code.
        if connection and connection.was_accepted and self._reporter.has_twin(ready=False):
            why = TAKEN_OVER
        if why == TAKEN_OVER:
            self._stays_out_until = time.monotonic() + LONGEST_WAIT_S
        return why

    def _tries_again_at_once(self, connection: BrokerConnection) -> bool:
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

    def _outage(self, why: str) -> None:
        self._report(f"no connection to {self._account.broker}: {why}")

    def _became_ready(self, connection: BrokerConnection) -> None:
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

    def _may_begin_to_stop(self) -> bool:
        # A bridge that renews its connection is ready again in a moment, and can then leave in order.
        return not self._renewing

    def _begin_to_stop(self) -> None:
        """Where other bridges share the work they get the requests that come now; else the broker keeps them for our return."""
        self._report()
        connection = self._connection
        on_shared = connection is not None and connection.ready and connection.shared
        if connection and on_shared and not self._delivery.waits_for_database and self._reporter.has_peers():
            connection.leave()
        else:
            super()._begin_to_stop()
