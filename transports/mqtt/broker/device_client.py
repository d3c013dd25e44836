"""A device with credentials. It reports about itself; a gateway reports about its children too."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from functools import partial

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from devices.authentication import AuthenticationFailed, Presented, authenticate, is_valid
from devices.models import Device
from devices.services import device_note_problem
from provisioning.errors import Unavailable
from transports.codecs.device_data import encode
from transports.device_news import DeviceNews
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
from transports.mqtt.device_api import device_topics
from transports.mqtt.device_api.gateway_topics import child_update
from transports.mqtt.device_api.messages import Answer, MessageRefused, Served
from transports.mqtt.device_api.topics import ATTRIBUTES, DEVICE_PREFIXES, GATEWAY_ATTRIBUTES, GATEWAY_PREFIX

MAX_FILTERS = 64


class DeviceClient(Client):
    """One session of a device."""

    def __init__(self, state: BrokerState, device: Device, presented: Presented, *, client_id: str) -> None:
        self._state, self._presented = state, presented
        self.device_id = device.pk
        self._prefixes = (*DEVICE_PREFIXES, GATEWAY_PREFIX) if device.gateway else DEVICE_PREFIXES
        # Of its own for every connection without a client id: nothing to take over.
        self.client_id = client_id or secrets.token_hex(8)
        self.key = f"{device.pk} {self.client_id}"
        self._subscriptions = Subscriptions(MAX_FILTERS)
        # What ends listening for news, of the device itself under "", of a gateway's children under their names.
        self._stop_listening: dict[str, Callable[[], None]] = {}

    def opened(self, link: ClientLink) -> bool:
        self._since = timezone.now()
        self._stop_listening[""] = self._state.news.listen(self.device_id, self._heard)
        return super().opened(link)

    def closed(self) -> None:
        for stop in self._stop_listening.values():
            stop()

    async def take(self, message: PublishedMessage) -> None:
        if not message.topic.startswith(self._prefixes):
            raise MessageRefused(mqtt5.NOT_AUTHORIZED, "a topic that is not the device's own")
        try:
            served = await self._state.database.run(self._serve, message.topic, message.body)
        except AuthenticationFailed:
            raise Disconnected(mqtt5.NOT_AUTHORIZED, "its credentials are no longer valid") from None
        except (DatabaseError, InterfaceError, Unavailable) as err:
            # Not acknowledged: at QoS 1 the device sends it again when it has reconnected.
            raise Disconnected(mqtt5.UNSPECIFIED_ERROR, f"the database: {type(err).__name__}") from err
        message.acknowledge(mqtt5.SUCCESS)
        for answer in served.answers:
            # Whether it has subscribed or not, as ThingsBoard does.
            self._publish(answer, self._subscriptions.qos_for(answer.topic))
        for name, child_id in served.children.items():
            if name not in self._stop_listening:
                self._stop_listening[name] = self._state.news.listen(child_id, partial(self._child_heard, name))
        if served.disconnected in self._stop_listening and served.disconnected:
            self._stop_listening.pop(served.disconnected)()

    def subscribe(self, topic_filter: str, qos: int) -> int:
        return self._subscriptions.grant(topic_filter, qos) if topic_filter.startswith(self._prefixes) else SUBSCRIPTION_REFUSED

    def unsubscribe(self, topic_filter: str) -> None:
        self._subscriptions.drop(topic_filter)

    def _heard(self, news: DeviceNews) -> None:
        """Act on what happened to the device: end the session, or send it what changed."""
        if news.gone or (news.reset_at and news.reset_at >= self._since):
            self.link.end(mqtt5.NOT_AUTHORIZED)
        elif news.access_changed:
            self._check = asyncio.get_running_loop().create_task(self._end_if_invalid())
        topic = next((topic for topic in ATTRIBUTES if self._subscriptions.qos_for(topic) is not None), "")
        if topic and news.attributes:
            self._publish(Answer(topic, encode(news.attributes)), self._subscriptions.qos_for(topic))

    def _child_heard(self, name: str, news: DeviceNews) -> None:
        """Send a gateway what changed about one of its children."""
        qos = self._subscriptions.qos_for(GATEWAY_ATTRIBUTES)
        if news.attributes and qos is not None:
            self._publish(child_update(name, news.attributes), qos)

    async def _end_if_invalid(self) -> None:
        # If the database is unavailable, the next message is checked all the same.
        with contextlib.suppress(DatabaseError, InterfaceError, Unavailable):
            if not await self._state.database.run(is_valid, self._presented):
                self.link.end(mqtt5.NOT_AUTHORIZED)

    def _publish(self, answer: Answer, qos: int | None) -> None:
        self.link.publish(answer.topic, answer.body, self._subscriptions.packet_id(qos))

    def _serve(self, topic: str, body: bytes) -> Served:
        """Serve a message in a database thread. The credentials are checked again: they may have been revoked."""
        device = authenticate(self._presented)
        try:
            return device_topics.serve(device, topic, body)
        except MessageRefused as err:
            device_note_problem(device=device, text=f"Message on {topic} refused: {err}")
            raise
