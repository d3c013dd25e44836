"""What each kind of client may do: one that provisions, a device with credentials, a bridge. Anything else is refused."""

import asyncio
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from devices.authentication import AuthenticationFailed, MqttConnect, authenticate
from devices.models import Device
from transports.codecs.device_data import BadDeviceData
from transports.device_data import take_attributes, take_telemetry
from transports.mqtt.broker import mqtt5
from transports.mqtt.broker.broker_state import BrokerState
from transports.mqtt.broker.requests import Request
from transports.mqtt.broker.topics import ATTRIBUTES, OWN, TELEMETRY
from transports.mqtt.client_ids import joined_client_id
from transports.mqtt.topics import REQUEST, RESPONSE

log = logging.getLogger(__name__)

SUBSCRIPTION_REFUSED = 0x80
MAX_QOS = 1
# Requests of one client that may wait for an answer at once.
MAX_ASKED = 16
MAX_BRIDGE_FILTERS = 32


class Disconnected(Exception):
    """The broker ends this connection. `reason` is told to a client that speaks MQTT 5."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """What a client published. `acknowledge` takes a reason code of MQTT 5; at QoS 0 it does nothing."""

    topic: str
    body: bytes = field(repr=False)
    qos: int = 0
    properties: mqtt5.Properties = mqtt5.NONE
    acknowledge: Callable[[int], None] = field(default=lambda _reason: None, repr=False)


class ClientLink(ABC):
    """The connection, as a client's rules see it."""

    @abstractmethod
    def publish(self, topic: str, body: bytes, packet_id: int | None, *, again: bool = False, properties: bytes = b"") -> None:
        """Send a message, at QoS 1 when it has a packet id."""


class Client(ABC):
    """One connected client: what it may publish and subscribe, and what becomes of it. What is not abstract does nothing."""

    # Identifies the client among all that are connected: a second CONNECT with the same key takes the session over.
    key: str
    # The client id that a client which speaks MQTT 5 is told when it brought none.
    client_id: str
    # The connection is closed when the client has published and subscribed nothing for so long.
    idle_s: float | None = None

    def opened(self, link: ClientLink) -> bool:
        """Begin, just before the CONNACK. Return whether the client's session stood already."""
        self.link = link
        return False

    def accepted(self) -> None:  # noqa: B027
        """Go on, just after the CONNACK."""

    def closed(self) -> None:  # noqa: B027
        """End, when the connection is gone."""

    @abstractmethod
    def may_publish(self, topic: str) -> bool: ...

    @abstractmethod
    async def take(self, message: PublishedMessage) -> None:
        """Take a message on a topic that the client may publish to. Raises Disconnected."""

    @abstractmethod
    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Return the QoS granted, SUBSCRIPTION_REFUSED when none is."""

    def unsubscribe(self, topic_filter: str) -> None:  # noqa: B027
        """Take a subscription back."""

    def acknowledged(self, packet_id: int) -> None:  # noqa: B027
        """Take the PUBACK for a message that was sent to this client."""


class ProvisioningClient(Client):
    """A device that asks for credentials. It hears the answers to its own requests and nothing else, subscribed or not."""

    def __init__(self, state: BrokerState, *, name: str, address: str) -> None:
        self._state, self._address = state, address
        self.key = secrets.token_hex(8)
        self.client_id = joined_client_id(self.key, address)
        self.idle_s = settings.MQTT_PROVISION_IDLE_S
        names = [one for one in (name, self.client_id) if one and not {"+", "#"} & set(one)]
        self._own_request_topics = {f"{REQUEST}/{one}": f"{RESPONSE}/{one}" for one in names}
        self._own_filters = {topic: topic for topic in self._own_request_topics.values()}
        self._own_filters[f"{RESPONSE}/+"] = f"{RESPONSE}/{names[0]}"
        self._granted: dict[str, int] = {}
        self._own_topic = ""
        self._pending: dict[str, mqtt5.Properties] = {}
        self._waiting = 0
        self._counted = 0

    def opened(self, link: ClientLink) -> bool:
        self._state.provisioning_clients[self.key] = self
        return super().opened(link)

    def closed(self) -> None:
        self._state.provisioning_clients.pop(self.key, None)

    def may_publish(self, topic: str) -> bool:
        return topic == REQUEST or topic in self._own_request_topics

    async def take(self, message: PublishedMessage) -> None:
        if self._waiting >= MAX_ASKED:
            raise Disconnected(mqtt5.QUOTA_EXCEEDED, "too many requests without waiting for their answers")
        self._own_topic = self._own_request_topics.get(message.topic, self._own_topic)
        topic = self._state.request_topic.topic(joined_client_id(self.key, self._address, self._noted(message.properties)))
        self._waiting += 1
        if not self._state.requests.offer(Request(topic, message.body, lambda: self._done(message))):
            raise Disconnected(mqtt5.QUOTA_EXCEEDED, "no room for another request")

    def subscribe(self, topic_filter: str, qos: int) -> int:
        if topic_filter != RESPONSE and topic_filter not in self._own_filters:
            return SUBSCRIPTION_REFUSED
        self._own_topic = self._own_filters.get(topic_filter, self._own_topic)
        self._granted[topic_filter] = min(qos, MAX_QOS)
        return self._granted[topic_filter]

    def unsubscribe(self, topic_filter: str) -> None:
        self._granted.pop(topic_filter, None)

    def answer(self, request: str, body: bytes, qos: int) -> None:
        """Send the answer to one of this client's requests."""
        properties = self._pending.pop(request, mqtt5.NONE)
        shared = RESPONSE in self._granted or not self._own_topic
        topic = properties.response_topic or (RESPONSE if shared else self._own_topic)
        packet_id = None
        if min(qos, max(self._granted.values(), default=0)):
            self._counted = self._counted % 65_535 + 1
            packet_id = self._counted
        self.link.publish(topic, body, packet_id, properties=mqtt5.correlation_properties(properties.correlation))

    def _noted(self, properties: mqtt5.Properties) -> str:
        """Return the number under which the wishes of an MQTT 5 request are kept until its answer, "" when it has none."""
        if properties is mqtt5.NONE:
            return ""
        topic = properties.response_topic
        if topic and topic != RESPONSE and not topic.startswith(f"{RESPONSE}/"):
            raise Disconnected(mqtt5.NOT_AUTHORIZED, "a Response Topic that is not below the response topic")
        if len(self._pending) >= MAX_ASKED:
            del self._pending[next(iter(self._pending))]
        self._counted += 1
        self._pending[str(self._counted)] = properties
        return str(self._counted)

    def _done(self, message: PublishedMessage) -> None:
        self._waiting -= 1
        message.acknowledge(mqtt5.SUCCESS)


class DeviceClient(Client):
    """A device with credentials. It reports about itself; nothing is ever published to it."""

    TAKES: ClassVar[dict[str, Callable[[Device, bytes], None]]] = {TELEMETRY: take_telemetry, ATTRIBUTES: take_attributes}

    def __init__(self, state: BrokerState, device: Device, presented: MqttConnect) -> None:
        self._state, self._presented = state, presented
        # Of its own for every connection without a client id: nothing to take over.
        self.client_id = presented.client_id or secrets.token_hex(8)
        self.key = f"{device.pk} {self.client_id}"

    def may_publish(self, topic: str) -> bool:
        return topic.startswith(OWN)

    async def take(self, message: PublishedMessage) -> None:
        take = self.TAKES.get(message.topic)
        if take is None:
            # What this server has no use for, e.g. the RPC by which tb-mqtt-client asks for limits.
            message.acknowledge(mqtt5.NO_MATCHING_SUBSCRIBERS)
            return
        try:
            message.acknowledge(await self._state.database.run(self._keep, take, message.body))
        except AuthenticationFailed:
            raise Disconnected(mqtt5.NOT_AUTHORIZED, "its credentials are no longer good") from None
        except (DatabaseError, InterfaceError) as err:
            # Not acknowledged: at QoS 1 the device sends it again when it has reconnected.
            raise Disconnected(mqtt5.UNSPECIFIED_ERROR, f"the database: {type(err).__name__}") from err

    def subscribe(self, topic_filter: str, qos: int) -> int:
        return min(qos, MAX_QOS) if topic_filter.startswith(OWN) else SUBSCRIPTION_REFUSED

    def _keep(self, take: Callable[[Device, bytes], None], body: bytes) -> int:
        """Return the reason code for what became of `body`. The credentials are looked at anew: they may be revoked by now."""
        device = authenticate(self._presented)
        try:
            take(device, body)
        except BadDeviceData as err:
            log.info("Device %s sent what cannot be kept: %s", device.pk, err)
            return mqtt5.PAYLOAD_FORMAT_INVALID
        return mqtt5.SUCCESS


class BridgeClient(Client):
    """A bridge of ours: it takes requests and answers them."""

    def __init__(self, state: BrokerState, client_id: str, *, resume: bool, kept_s: float, window: int) -> None:
        self._state = state
        self._resume, self._window = resume, window
        # No longer than requests are kept.
        self._kept_s = min(kept_s, settings.MQTT_PROVISION_IDLE_S)
        self.client_id = client_id
        self.key = f"bridge {client_id}"

    def opened(self, link: ClientLink) -> bool:
        super().opened(link)
        self._session, stood = self._state.requests.open(self.client_id, link, resume=self._resume, window=self._window)
        log.info("A bridge has connected")
        return stood

    def accepted(self) -> None:
        self._state.requests.again(self._session)

    def closed(self) -> None:
        log.info("A bridge has gone")
        self._state.requests.lost(self.client_id, self._session, self.link, kept_s=self._kept_s)

    def may_publish(self, topic: str) -> bool:
        return bool(self._state.response_topic.client_id(topic))

    async def take(self, message: PublishedMessage) -> None:
        there = self._state.answer(message.topic, message.body, message.qos)
        message.acknowledge(mqtt5.SUCCESS if there else mqtt5.NO_MATCHING_SUBSCRIBERS)

    def subscribe(self, topic_filter: str, qos: int) -> int:
        filters = self._session.filters
        if topic_filter not in filters and len(filters) >= MAX_BRIDGE_FILTERS:
            return SUBSCRIPTION_REFUSED
        filters[topic_filter] = min(qos, MAX_QOS)
        # Behind the SUBACK.
        asyncio.get_running_loop().call_soon(self._state.requests.hand_out)
        return filters[topic_filter]

    def unsubscribe(self, topic_filter: str) -> None:
        self._session.filters.pop(topic_filter, None)

    def acknowledged(self, packet_id: int) -> None:
        self._state.requests.acknowledged(self._session, packet_id)
