"""One connection to the broker: the thin adapter that owns a paho client.

paho's own thread ends without a word when a callback or its decoder raises, and its client sends more than the broker
allows when it resends after a reconnect. So each connection has a client of its own, driven by `turn` from one thread;
whatever raises there reaches the bridge, which drops the connection and makes another.
"""

import logging
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from transports.mqtt.bridge.account import Account
from transports.mqtt.bridge.inflight import InflightRequest
from transports.mqtt.bridge.messages import Answer, Message
from transports.mqtt.client_ids import CERTIFICATE_PROPERTY, MAX_PACKET_PROPERTY, OVERHEAD_PROPERTY

log = logging.getLogger(__name__)

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
# From CONNECT until the broker has granted the subscription.
READY_TIMEOUT_S = 10.0
# Far above MAX_REQUEST_BYTES, so that what is too large gets its answer, and far below what would hurt.
MAX_PACKET_BYTES = 1024 * 1024
GAVE_WAY = "Another bridge serves this broker, which has no shared subscriptions: this one waits until that one is gone."
TAKEN_OVER = (
    "Another client took over the bridge's client id. If it is a bridge on another host, give each host a name of its own. "
    "This bridge stays out while that one serves."
)
# MQTT 5.0 section 3.14.2.1.
SESSION_TAKEN_OVER = 0x8E
# The user property by which a bridge recognises what bridges have published.
_OWN = ("from", "firstlight")
VERSION_NAMES: Mapping[MQTTProtocolVersion, str] = {MQTTv5: "MQTT 5", MQTTv311: "MQTT 3.1.1"}


class Listener(Protocol):
    """What a connection reports to its bridge, from within `turn`."""

    def accepted(self, *, session_present: bool) -> None: ...
    def may_serve_alone(self) -> bool: ...
    def arrived(self, message: Message, mid: int) -> None: ...
    def handed_over(self, request: InflightRequest, problem: str) -> None: ...


class BrokerConnection:
    """From CONNECT to the end. Not safe from two threads. `ended` says why it is over, "" while it is not."""

    def __init__(self, account: Account, version: MQTTProtocolVersion, listener: Listener) -> None:
        self.version = version
        self.ready = self.shared = self.was_opened = self.was_accepted = self.version_refused = False
        self.ended = ""
        self._gives_way = False
        self.session_expiry_s = account.session_expiry_s
        self._account = account
        self._listener = listener
        self._deadline = time.monotonic() + READY_TIMEOUT_S
        self._subscribing = 0
        self._outbox: deque[tuple[InflightRequest, Answer]] = deque()
        self._under_way: dict[int, InflightRequest] = {}
        self._max_under_way = account.window
        self._client = self._make_client()

    def open(self) -> None:
        """Connect, and send CONNECT. Raises OSError."""
        broker, account = self._account.broker, self._account
        if self.version == MQTTv5:
            properties = _properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = account.session_expiry_s
            properties.ReceiveMaximum = account.window
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            self._client.connect(broker.host, broker.port, KEEPALIVE_S, clean_start=False, properties=properties)
        else:
            self._client.connect(broker.host, broker.port, KEEPALIVE_S)
        self.was_opened = True

    def turn(self, wake: socket.socket, timeout_s: float) -> None:
        """Do what is due on the wire; wait for it no longer than `timeout_s`, or until `wake` can be read."""
        sock: Any = self._client.socket()
        if sock is None or (not self.ready and time.monotonic() > self._deadline):
            self._end("The broker did not answer in time." if sock else "The connection was closed.")
            return
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        wants = [sock] if self._client.want_write() else []
        readable, writable, _ = select.select([sock, wake], wants, [], 0 if pending else timeout_s)
        if pending or sock in readable:
            self._client.loop_read()
        if writable and self._client.socket() is sock:
            self._client.loop_write()
        self._client.loop_misc()

    def publish(self, request: InflightRequest, answer: Answer) -> None:
        """Send `answer` at QoS 1, as soon as the broker has room for it. The listener hears when the broker has it."""
        self._outbox.append((request, answer))
        self._send_answers()

    def acknowledge(self, mid: int) -> None:
        self._client.ack(mid, 1)

    def leave(self) -> None:
        """Give up the subscription, so that the broker sends new requests to other bridges."""
        self._client.unsubscribe([*map(self._account.share, self._account.filters), *self._account.filters])

    def give_way(self) -> None:
        """Leave the broker to another bridge: give up the subscriptions, so that it keeps no requests for this one."""
        self._gives_way = True
        self._client.unsubscribe(list(self._account.filters))
        self._end(GAVE_WAY)

    def finish(self) -> None:
        """Disconnect in order if another bridge takes over, else drop the connection as it is."""
        if self._gives_way:
            self.close()
        else:
            self.abandon()

    def close(self) -> None:
        """Disconnect in order; the session stays with the broker."""
        self._client.disconnect()
        give_up = time.monotonic() + CLOSE_TIMEOUT_S
        while (sock := self._client.socket()) is not None and self._client.want_write() and time.monotonic() < give_up:
            select.select([], [sock], [], CLOSE_TIMEOUT_S)
            self._client.loop_write()
        self.abandon()

    def abandon(self) -> None:
        """Drop the connection as it is."""
        sock: Any = self._client.socket()
        if sock is not None:
            sock.close()

    def _make_client(self) -> Client:
        persistent: dict[str, Any] = {} if self.version == MQTTv5 else {"clean_session": False}
        client = Client(
            CallbackAPIVersion.VERSION2,
            self._account.client_id,
            protocol=self.version,
            reconnect_on_failure=False,
            manual_ack=True,
            **persistent,
        )
        broker = self._account.broker
        if broker.username:
            client.username_pw_set(broker.username, broker.password or None)
        if broker.tls:
            client.tls_set_context(broker.tls)
        client.connect_timeout = CONNECT_TIMEOUT_S
        # The bridge limits the answers in flight itself: paho ignores the limit in the broker's CONNACK.
        client.max_inflight_messages = 0
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(
        self, _client: Client, _data: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.version_refused = reason.getName() == "Unsupported protocol version"
            self._end(f"The broker refused the connection: {reason}.")
            return
        self.was_accepted = True
        self._max_under_way = min(self._account.window, getattr(properties, "ReceiveMaximum", 65_535))
        self._listener.accepted(session_present=flags.session_present)
        self.shared = self.version == MQTTv5 and getattr(properties, "SharedSubscriptionAvailable", 1) == 1
        self._subscribe()

    def _subscribe(self) -> None:
        """Subscribe to the requests of all clients and to the shared topic; drop the subscriptions of an earlier session."""
        if not self.shared and not self._listener.may_serve_alone():
            self.give_way()
            return
        filters = [self._account.share(name) if self.shared else name for name in self._account.filters]
        if self.version == MQTTv5:
            # Retain handling 2: nothing that was retained; its sender waits no more.
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            _, mid = self._client.subscribe([(name, options) for name in filters])
        else:
            _, mid = self._client.subscribe([(name, 1) for name in filters])
        self._subscribing = mid or 0
        if self.version == MQTTv5:
            others = [name if self.shared else self._account.share(name) for name in self._account.filters]
            obsolete = self._account.obsolete
            self._client.unsubscribe([*others, *obsolete, *map(self._account.share, obsolete)])

    def _on_subscribe(self, _client: Client, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Properties) -> None:
        if mid != self._subscribing:
            return
        if not reasons[0].is_failure:
            self.ready = True
            if any(reason.is_failure for reason in reasons[1:]):
                log.error(
                    "The broker refused subscriptions of the bridge. Its ACL must let the bridge read: %s", self._account.filters
                )
        elif self.shared:
            self.shared = False
            self._subscribe()
        else:
            self._end(f"The broker refused the subscription to {self._account.filters[0]}: {reasons[0]}.")

    def _on_message(self, _client: Client, _data: Any, received: MQTTMessage) -> None:
        if self._gives_way:
            # The other bridge got it too. Unacknowledged, the broker would keep it for this one.
            self._client.ack(received.mid, received.qos)
            return
        try:
            topic = received.topic
        except UnicodeDecodeError:
            topic = ""
        properties = received.properties
        user_properties = dict(getattr(properties, "UserProperty", ()))
        message = Message(
            topic,
            bytes(received.payload),
            retained=bool(received.retain),
            repeated=bool(received.dup),
            response_topic=getattr(properties, "ResponseTopic", ""),
            correlation=getattr(properties, "CorrelationData", None),
            max_packet=_number(user_properties.get(MAX_PACKET_PROPERTY, "")),
            reply_overhead=_number(user_properties.get(OVERHEAD_PROPERTY, "")),
            certificate=user_properties.get(CERTIFICATE_PROPERTY, ""),
            expires_in_s=getattr(properties, "MessageExpiryInterval", None),
            own=user_properties.get(_OWN[0]) == _OWN[1],
        )
        self._listener.arrived(message, received.mid if received.qos else 0)

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties) -> None:
        request = self._under_way.pop(mid, None)
        if request:
            self._listener.handed_over(request, str(reason) if reason.is_failure else "")
        self._send_answers()

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.value == SESSION_TAKEN_OVER:
            self._end(TAKEN_OVER)
            return
        who = "The broker ended the connection" if flags.is_disconnect_packet_from_server else "The connection broke"
        self._end(f"{who}: {reason}.")

    def _send_answers(self) -> None:
        while self._outbox and len(self._under_way) < self._max_under_way and not self.ended:
            request, answer = self._outbox.popleft()
            properties = None
            if self.version == MQTTv5 and (answer.correlation is not None or answer.own):
                properties = _properties(PacketTypes.PUBLISH)
                if answer.correlation is not None:
                    properties.CorrelationData = answer.correlation
                if answer.own:
                    properties.UserProperty = _OWN
            info = self._client.publish(answer.topic, answer.body, qos=1, properties=properties)
            self._under_way[info.mid] = request

    def _end(self, why: str) -> None:
        self.ended = self.ended or why
        self.ready = False


def _number(value: str) -> int:
    """Return a number that the embedded broker gives for its client; from other brokers the value is the device's own."""
    return int(value) if value.isdecimal() and len(value) <= 10 else 0


def _no_delay(_client: Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _properties(packet: int) -> Properties:
    made: Properties = Properties(packet)  # type: ignore[no-untyped-call]  # paho's own types end here
    return made
