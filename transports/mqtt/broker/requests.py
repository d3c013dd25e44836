"""Provisioning requests on their way from devices to bridges.

All requests wait in one queue, and each goes to the bridge with the fewest in flight. A request is done when a bridge
has acknowledged it; the requests of a lost bridge go to that bridge again as long as its session exists, since it may be
processing them, and to any other afterwards. Everything here runs in the event loop.
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
# Requests in flight at one bridge; it may ask for fewer (MQTT 5 section 3.1.2.11.3).
MAX_INFLIGHT = 256
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
    # Whether the device is still there to hear the answer.
    is_wanted: Callable[[], bool] = field(default=lambda: True, repr=False)

    @property
    def size(self) -> int:
        return len(self.topic) + len(self.body) + _OVERHEAD_BYTES


class BridgeLink(Protocol):
    """A bridge's connection, as far as requests are concerned."""

    def publish(
        self, topic: str, body: bytes, packet_id: int | None, *, again: bool = False, properties: bytes = b""
    ) -> bool: ...


class BridgeSession:
    """A bridge's subscriptions and requests in flight. It outlives the connection if the bridge asked for that."""

    def __init__(self) -> None:
        self.filters: dict[str, int] = {}
        self.inflight: OrderedDict[int, Request] = OrderedDict()
        self.window = MAX_INFLIGHT
        self.link: BridgeLink | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self._last_packet_id = 0

    def qos_for(self, topic: str) -> int | None:
        """Return the QoS at which this bridge gets `topic`; None when it does not, or not now."""
        if self.link is None or len(self.inflight) >= self.window:
            return None
        granted = [qos for topic_filter, qos in self.filters.items() if matches(topic, plain_filter(topic_filter))]
        return max(granted, default=None)

    def next_packet_id(self) -> int:
        """Return a packet id that is not in use. There is one: far fewer than 65,535 are in flight."""
        while True:
            self._last_packet_id = self._last_packet_id % 65_535 + 1
            if self._last_packet_id not in self.inflight:
                return self._last_packet_id


class RequestQueue:
    """The requests of all devices and the sessions of all bridges."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._bytes = 0
        self._sessions: dict[str, BridgeSession] = {}

    def offer(self, request: Request) -> bool:
        """Queue `request`, or return False if there is no room for it."""
        self._drop_stale()
        if self._bytes + request.size > MAX_WAITING_BYTES or len(self._waiting) >= MAX_WAITING:
            log.warning("No room for another provisioning request: %d are waiting for a bridge", len(self._waiting))
            return False
        self._bytes += request.size
        self._waiting.append(request)
        self.hand_out()
        return True

    def open(self, client_id: str, link: BridgeLink, *, resume: bool, window: int) -> tuple[BridgeSession, bool]:
        """Return the session of a bridge that has connected, and whether it existed already. Call `again` after the CONNACK."""
        old = self._sessions.get(client_id)
        if old and old.expiry:
            old.expiry.cancel()
        if old and not resume:
            self._end(client_id, old)
        session = self._sessions.setdefault(client_id, BridgeSession())
        session.link, session.window = link, min(window, MAX_INFLIGHT)
        return session, bool(old and resume)

    def again(self, session: BridgeSession) -> None:
        """Send a bridge that has reconnected its requests in flight again [MQTT-4.4.0-1], then what else is waiting."""
        if session.link:
            for packet_id, request in session.inflight.items():
                session.link.publish(request.topic, request.body, packet_id, again=True, properties=request.properties)
        self.hand_out()

    def lost(self, client_id: str, session: BridgeSession, link: BridgeLink, *, kept_s: float) -> None:
        """Note that the connection `link` of a bridge is gone; its session lives for `kept_s` more, 0 if it ends now."""
        if session.link is not link:
            return
        session.link = None
        if not kept_s:
            self._end(client_id, session)
            return
        session.expiry = asyncio.get_running_loop().call_later(kept_s, self._end, client_id, session)

    def acknowledged(self, session: BridgeSession, packet_id: int) -> None:
        """Note that a bridge is done with a request. An unknown packet id is that of one which went to another bridge since."""
        request = session.inflight.pop(packet_id, None)
        if request:
            self._finish(request)
            self.hand_out()

    def hand_out(self) -> None:
        """Send what is waiting to the bridges that have room for it."""
        self._drop_stale()
        while self._waiting:
            request = self._waiting[0]
            if not request.is_wanted():
                # Answered, it would only leave a device whose credentials nobody has.
                self._bytes -= self._waiting.popleft().size
                continue
            offers = [(session, session.qos_for(request.topic)) for session in self._sessions.values()]
            able = [(session, qos) for session, qos in offers if qos is not None]
            if not able:
                return
            session, qos = min(able, key=lambda offer: len(offer[0].inflight))
            self._waiting.popleft()
            self._send(session, request, qos)

    def _send(self, session: BridgeSession, request: Request, qos: int) -> None:
        packet_id = session.next_packet_id() if qos else None
        if packet_id:
            session.inflight[packet_id] = request
        if session.link:
            session.link.publish(request.topic, request.body, packet_id, properties=request.properties)
        if not packet_id:
            self._finish(request)

    def _end(self, client_id: str, session: BridgeSession) -> None:
        """Forget a bridge. Its requests in flight go to the front of the queue, for the next bridge with room."""
        del self._sessions[client_id]
        session.link = None
        self._waiting.extendleft(reversed(session.inflight.values()))
        session.inflight.clear()
        self.hand_out()

    def _drop_stale(self) -> None:
        """Forget requests so old that the devices which sent them have been disconnected."""
        horizon = time.monotonic() - settings.MQTT_PROVISION_IDLE_S
        while self._waiting and self._waiting[0].since < horizon:
            self._bytes -= self._waiting.popleft().size

    def _finish(self, request: Request) -> None:
        self._bytes -= request.size
        request.done()
