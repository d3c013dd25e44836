"""The sessions over which data of devices comes from the operator's broker (docs/mqtt.md, *Data of devices*).

They are apart from the bridge's session for requests: the broker may drop a request whose device has given up, but has
to keep data until a bridge is back. So they belong to no bridge. A lease says which one serves a session now, and if
that bridge dies another one takes the session over with everything that waits in it.
"""

import logging
import math
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace

from django.db import Error, connection

from operations.leases import delete_lease, lease_names, release_lease, take_lease
from transports.mqtt.bridge.account import Account
from transports.mqtt.bridge.connection import BrokerConnection
from transports.mqtt.bridge.device_data import DeviceData
from transports.mqtt.bridge.messages import Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.bridge.session import Session

log = logging.getLogger(__name__)

# What the names of the sessions' leases begin with; a number follows.
LEASE = "mqtt-data-"
RENEW_INTERVAL_S = 3.0


class DataSession(Session):
    """One session for data, connected while this bridge holds its lease (`held`, set from another thread)."""

    purpose = "Data of devices"

    def __init__(self, account: Account, answering: ReplyPolicy, data: DeviceData, *, is_only: bool) -> None:
        super().__init__(account, answering, data)
        self.held = False
        self._is_only = is_only
        self._was_left = False

    def may_serve_alone(self) -> bool:
        # Without shared subscriptions each session would get every message.
        return self._is_only

    def accepted(self, *, session_present: bool) -> None:
        # After another bridge has served the session, packet ids mean other messages.
        super().accepted(session_present=session_present and not self._was_left)
        self._was_left = False

    def _may_connect(self) -> bool:
        return self.held

    def _attend(self, connection: BrokerConnection) -> None:
        if not self.held:
            self._leave()
            self._was_ready, self._was_left = False, True

    def _became_ready(self, connection: BrokerConnection) -> None:
        log.info("Serving data of devices from the broker %s.", self._account.broker)

    def _explained(self, connection: BrokerConnection | None, why: str) -> str:
        if connection and connection.version_refused:
            return "It does not speak MQTT 5, so data of devices is not stored (MQTT_DEVICE_DATA)."
        return why


class ObsoleteSession(Session):
    """A session that no bridge serves any more: ended at the broker, which would keep data in it until it expires."""

    purpose = "A session for data that is not needed any more"
    was_ended = False

    def may_serve_alone(self) -> bool:
        return True

    def arrived(self, message: Message, mid: int) -> None:
        """Leave it: the session ends with the connection."""

    def _may_connect(self) -> bool:
        return True

    def _present_account(self) -> Account:
        return replace(self._account, session_expiry_s=0)

    def _became_ready(self, connection: BrokerConnection) -> None:
        self.was_ended = True
        self.stop()


class DataSessions:
    """Sessions 1 to `count`, each served from a thread of its own while this bridge holds its lease.

    `account` returns who connects for a session, by its number. `peers` returns how many other bridges are ready: each
    bridge takes its share of the sessions. Those of an earlier configuration with a larger count are ended.
    """

    def __init__(
        self, count: int, account: Callable[[int], Account], answering: ReplyPolicy, data: DeviceData, peers: Callable[[], int]
    ) -> None:
        numbers = range(1, count + 1)
        self._sessions = {f"{LEASE}{n}": DataSession(account(n), answering, data, is_only=count == 1) for n in numbers}
        self._obsolete: dict[str, ObsoleteSession] = {}
        self._account, self._answering = account, answering
        self._data = data
        self._peers = peers
        self._holder = secrets.token_hex(8)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._leasing = threading.Thread(target=self._run, name="data-leases", daemon=True)

    def start(self) -> None:
        for name, session in self._sessions.items():
            self._serve(name, session)
        self._leasing.start()

    def stop(self) -> None:
        """Take no more messages. From anywhere, a signal handler too."""
        self._stopping.set()
        self._data.stop()
        for session in (*self._sessions.values(), *self._obsolete.values()):
            session.stop()

    def close(self) -> None:
        """Return once what is in flight is stored, and other bridges may take the sessions."""
        self.stop()
        if self._leasing.is_alive():
            self._leasing.join()
        self._data.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._share_out()
                self._end_obsolete()
            except Error as err:
                # Everything stays as it is: no other bridge can take a lease either.
                connection.close()
                log.debug("Leases could not be renewed: %s", type(err).__name__)
            self._stopping.wait(RENEW_INTERVAL_S)
        # A session that was left in order can be taken over at once.
        for thread in self._threads:
            thread.join()
        try:
            for name, session in self._sessions.items():
                if session.held:
                    release_lease(name, self._holder)
        except Error as err:
            log.debug("The leases expire by themselves: %s", type(err).__name__)
        connection.close()

    def _share_out(self) -> None:
        """Renew the leases of this bridge's share, and take free ones up to it. Others expire, and other bridges take them."""
        share = math.ceil(len(self._sessions) / (1 + self._peers()))
        # Those that it holds come first.
        for name, session in sorted(self._sessions.items(), key=lambda item: not item[1].held):
            session.held = share > 0 and take_lease(name, self._holder)
            share -= session.held

    def _end_obsolete(self) -> None:
        """End the sessions that are not needed any more; their leases show that they were."""
        for name in lease_names(LEASE):
            session = self._obsolete.get(name)
            if name in self._sessions or not take_lease(name, self._holder):
                continue
            if session is None:
                log.warning(
                    "%s is not needed any more (MQTT_DEVICE_DATA, MQTT_DATA_SESSIONS): what waits in it is dropped.", name
                )
                session = self._obsolete[name] = ObsoleteSession(self._account(int(name.removeprefix(LEASE))), self._answering)
                self._serve(name, session)
            elif session.was_ended:
                delete_lease(name, self._holder)

    def _serve(self, name: str, session: Session) -> None:
        thread = threading.Thread(target=session.run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
