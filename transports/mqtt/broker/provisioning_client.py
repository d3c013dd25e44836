"""A device that asks for credentials."""

import secrets

from django.conf import settings

from devices.credentials import certificate_id
from transports.mqtt.broker import mqtt5
from transports.mqtt.broker.broker_state import BrokerState
from transports.mqtt.broker.clients import (
    SUBSCRIPTION_REFUSED,
    Client,
    ClientLink,
    Disconnected,
    PublishedMessage,
    Subscriptions,
)
from transports.mqtt.broker.requests import Request
from transports.mqtt.client_ids import (
    CERTIFICATE_PROPERTY,
    MAX_PACKET_PROPERTY,
    OVERHEAD_PROPERTY,
    joined_client_id,
    signed_certificate,
)
from transports.mqtt.topics import REQUEST, RESPONSE

# Requests of one client that may wait for an answer at once.
MAX_WAITING = 16
MAX_FILTERS = 8


class ProvisioningClient(Client):
    """It hears the answers to its own requests and nothing else, subscribed or not.

    `certificate` is that of its TLS connection in DER form, empty without one.
    """

    def __init__(self, state: BrokerState, *, name: str, address: str, max_packet: int, certificate: bytes = b"") -> None:
        self._state, self._address = state, address
        self._certificate = certificate_id(certificate) if certificate else ""
        # The bridge leaves out what would make a reply too large.
        limited = max_packet != mqtt5.NONE.maximum_packet_size
        self._request_properties = mqtt5.user_property(MAX_PACKET_PROPERTY, str(max_packet)) if limited else b""
        self.key = secrets.token_hex(8)
        self.client_id = joined_client_id(self.key, address)
        self.idle_s = settings.MQTT_PROVISION_IDLE_S
        names = [one for one in (name, self.client_id) if one and not {"+", "#"} & set(one)]
        self._own_request_topics = {f"{REQUEST}/{one}": f"{RESPONSE}/{one}" for one in names}
        self._own_filters = {topic: topic for topic in self._own_request_topics.values()}
        self._own_filters[f"{RESPONSE}/+"] = f"{RESPONSE}/{names[0]}"
        self._subscriptions = Subscriptions(MAX_FILTERS)
        self._own_topic = ""
        self._reply_to: dict[str, mqtt5.Properties] = {}
        self._waiting = 0
        self._counted = 0

    def opened(self, link: ClientLink) -> bool:
        self._state.provisioning_clients[self.key] = self
        return super().opened(link)

    def closed(self) -> None:
        self._state.provisioning_clients.pop(self.key, None)

    async def take(self, message: PublishedMessage) -> None:
        if message.topic != REQUEST and message.topic not in self._own_request_topics:
            raise Disconnected(mqtt5.TOPIC_NAME_INVALID, "a session that provisions published on another topic")
        if self._waiting >= MAX_WAITING:
            raise Disconnected(mqtt5.QUOTA_EXCEEDED, "too many requests without waiting for their answers")
        self._own_topic = self._own_request_topics.get(message.topic, self._own_topic)
        client_id = joined_client_id(self.key, self._address, self._noted(message.properties))
        request = Request(
            self._state.request_topic.topic(client_id),
            message.body,
            lambda: self._done(message),
            self._request_properties + self._overhead(message.properties) + self._proof(client_id),
            is_wanted=lambda: self._state.provisioning_clients.get(self.key) is self,
        )
        self._waiting += 1
        if not self._state.requests.offer(request):
            raise Disconnected(mqtt5.QUOTA_EXCEEDED, "no room for another request")

    def subscribe(self, topic_filter: str, qos: int) -> int:
        if topic_filter != RESPONSE and topic_filter not in self._own_filters:
            return SUBSCRIPTION_REFUSED
        self._own_topic = self._own_filters.get(topic_filter, self._own_topic)
        return self._subscriptions.grant(topic_filter, qos)

    def unsubscribe(self, topic_filter: str) -> None:
        self._subscriptions.drop(topic_filter)

    def answer(self, request: str, body: bytes, qos: int) -> None:
        """Send the answer to one of this client's requests."""
        reply_to = self._reply_to.pop(request, mqtt5.NONE)
        packet_id = self._subscriptions.packet_id(min(qos, self._subscriptions.highest_qos))
        properties = mqtt5.correlation_properties(reply_to.correlation)
        self.link.publish(self._reply_topic(reply_to), body, packet_id, properties=properties)

    def _reply_topic(self, wishes: mqtt5.Properties) -> str:
        shared = RESPONSE in self._subscriptions or not self._own_topic
        return wishes.response_topic or (RESPONSE if shared else self._own_topic)

    def _overhead(self, wishes: mqtt5.Properties) -> bytes:
        """Return the property that says how much room topic and properties take from the reply."""
        properties = len(mqtt5.correlation_properties(wishes.correlation))
        more = len(self._reply_topic(wishes).encode()) - len(RESPONSE) + properties + len(mqtt5.varint_bytes(properties)) - 1
        return mqtt5.user_property(OVERHEAD_PROPERTY, str(more)) if more else b""

    def _noted(self, properties: mqtt5.Properties) -> str:
        """Return the number under which the wishes of an MQTT 5 request are kept until its answer, "" if it has none."""
        if properties is mqtt5.NONE:
            return ""
        topic = properties.response_topic
        if topic and topic != RESPONSE and not topic.startswith(f"{RESPONSE}/"):
            raise Disconnected(mqtt5.TOPIC_NAME_INVALID, "a Response Topic that is not below the response topic")
        if len(self._reply_to) >= MAX_WAITING:
            del self._reply_to[next(iter(self._reply_to))]
        self._counted += 1
        self._reply_to[str(self._counted)] = properties
        return str(self._counted)

    def _proof(self, client_id: str) -> bytes:
        """Return the property that says which certificate the client has proved to have."""
        if not self._certificate:
            return b""
        return mqtt5.user_property(CERTIFICATE_PROPERTY, signed_certificate(client_id, self._certificate))

    def _done(self, message: PublishedMessage) -> None:
        self._waiting -= 1
        message.acknowledge(mqtt5.SUCCESS)
