"""Provisioning requests on their way from devices to bridges.

All requests wait in one queue, and each goes to one bridge, whichever has the fewest in hand. A request is done when
a bridge has acknowledged it; what a lost bridge had in hand goes to that bridge again as long as its session stands,
since it may be at work on it, and to any other afterwards. Everything here runs in the event loop.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from django.conf import settings

from transports.mqtt.topics import matches, plain_filter

log = logging.getLogger(__name__)

MAX_WAITING_BYTES = 32 * 1024 * 1024
MAX_WAITING = 20_000
# Requests that one bridge may have in hand; it may ask for fewer (MQTT 5 section 3.1.2.11.3).
MAX_IN_HAND = 256
# What is kept of a request besides its body, about.
_OVERHEAD_BYTES = 500


@dataclass(frozen=True, slots=True)
class Request:
    """One message for the bridges. `done` is called once, when a bridge has acknowledged it."""

    topic: str
    body: bytes = field(repr=False)
    done: Callable[[], None] = field(repr=False)
    # For a bridge that speaks MQTT 5.
    properties: bytes = b""
    since: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        return len(self.topic) + len(self.body) + _OVERHEAD_BYTES


class BridgeLink(Protocol):
    """A bridge's connection, as far as requests are concerned."""

    def publish(
        self, topic: str, body: bytes, packet_id: int | None, *, again: bool = False, properties: bytes = b""
    ) -> bool: ...


class BridgeSession:
    """What a bridge has subscribed to and has in hand. It outlives a connection when the bridge asked for that."""

    def __init__(self) -> None:
        self.filters: dict[str, int] = {}
        self.in_hand: OrderedDict[int, Request] = OrderedDict()
        self.window = MAX_IN_HAND
        self.link: BridgeLink | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self._last_packet_id = 0

    def qos_for(self, topic: str) -> int | None:
        """Return the QoS at which this bridge gets `topic`; None when it does not, or not now."""
        if self.link is None or len(self.in_hand) >= self.window:
            return None
        granted = [qos for topic_filter, qos in self.filters.items() if matches(topic, plain_filter(topic_filter))]
        return max(granted, default=None)

    def next_packet_id(self) -> int:
        """Return a packet id that is not in use. There is one: far fewer than 65,535 are in hand."""
        while True:
            self._last_packet_id = self._last_packet_id % 65_535 + 1
            if self._last_packet_id not in self.in_hand:
                return self._last_packet_id


class RequestQueue:
    """The requests of all devices and the sessions of all bridges."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._bytes = 0
        self._sessions: dict[str, BridgeSession] = {}

    def offer(self, request: Request) -> bool:
        """Take `request` in hand, or return False when there is no room for it."""
        self._drop_stale()
        if self._bytes + request.size > MAX_WAITING_BYTES or len(self._waiting) >= MAX_WAITING:
            log.warning("No room for another provisioning request: %d are waiting for a bridge", len(self._waiting))
            return False
        self._bytes += request.size
        self._waiting.append(request)
        self.hand_out()
        return True

    def open(self, client_id: str, link: BridgeLink, *, resume: bool, window: int) -> tuple[BridgeSession, bool]:
        """Return the session of a bridge that has connected, and whether it stood already. Call `again` after the CONNACK."""
        old = self._sessions.get(client_id)
        if old and old.expiry:
            old.expiry.cancel()
        if old and not resume:
            self._end(client_id, old)
        session = self._sessions.setdefault(client_id, BridgeSession())
        session.link, session.window = link, min(window, MAX_IN_HAND)
        return session, bool(old and resume)

    def again(self, session: BridgeSession) -> None:
        """Hand a bridge that has come back what it had in hand [MQTT-4.4.0-1], then what else is waiting."""
        if session.link:
            for packet_id, request in session.in_hand.items():
                session.link.publish(request.topic, request.body, packet_id, again=True, properties=request.properties)
        self.hand_out()

    def lost(self, client_id: str, session: BridgeSession, link: BridgeLink, *, kept_s: float) -> None:
        """Note that the connection `link` of a bridge is gone; its session stands `kept_s` more, 0 when it ends with it."""
        if session.link is not link:
            return
        session.link = None
        if not kept_s:
            self._end(client_id, session)
            return
        session.expiry = asyncio.get_running_loop().call_later(kept_s, self._end, client_id, session)

    def acknowledged(self, session: BridgeSession, packet_id: int) -> None:
        """Note that a bridge is done with a request. An unknown packet id is that of one which went to another bridge since."""
        request = session.in_hand.pop(packet_id, None)
        if request:
            self._finish(request)
            self.hand_out()

    def hand_out(self) -> None:
        """Send what is waiting to the bridges that have room for it."""
        self._drop_stale()
        while self._waiting:
            request = self._waiting[0]
            offers = [(session, session.qos_for(request.topic)) for session in self._sessions.values()]
            able = [(session, qos) for session, qos in offers if qos is not None]
            if not able:
                return
            session, qos = min(able, key=lambda offer: len(offer[0].in_hand))
            self._waiting.popleft()
            self._send(session, request, qos)

    def _send(self, session: BridgeSession, request: Request, qos: int) -> None:
        packet_id = session.next_packet_id() if qos else None
        if packet_id:
            session.in_hand[packet_id] = request
        if session.link:
            session.link.publish(request.topic, request.body, packet_id, properties=request.properties)
        if not packet_id:
            self._finish(request)

    def _end(self, client_id: str, session: BridgeSession) -> None:
        """Forget a bridge. What it had in hand goes before all that is waiting, to whichever bridge comes first."""
        del self._sessions[client_id]
        session.link = None
        self._waiting.extendleft(reversed(session.in_hand.values()))
        session.in_hand.clear()
        self.hand_out()

    def _drop_stale(self) -> None:
        """Forget requests so old that the devices which sent them have been disconnected."""
        horizon = time.monotonic() - settings.MQTT_PROVISION_IDLE_S
        while self._waiting and self._waiting[0].since < horizon:
            self._bytes -= self._waiting.popleft().size

    def _finish(self, request: Request) -> None:
        self._bytes -= request.size
        request.done()
