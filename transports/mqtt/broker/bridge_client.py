"""A bridge of ours: it takes requests and answers them."""

import asyncio
import logging

from django.conf import settings

from transports.mqtt.broker import mqtt5
from transports.mqtt.broker.broker_state import BrokerState
from transports.mqtt.broker.clients import (
    MAX_QOS,
    SUBSCRIPTION_REFUSED,
    Client,
    ClientLink,
    PublishedMessage,
)
from transports.mqtt.device_api.messages import MessageRefused

log = logging.getLogger(__name__)

MAX_FILTERS = 32


class BridgeClient(Client):
    """One connected bridge."""

    def __init__(self, state: BrokerState, client_id: str, *, resume: bool, kept_s: float, window: int) -> None:
        self._state = state
        self._resume, self._window = resume, window
        # No longer than requests are kept.
        self._kept_s = min(kept_s, settings.MQTT_PROVISION_IDLE_S)
        self.client_id = client_id
        self.key = f"bridge {client_id}"

    def opened(self, link: ClientLink) -> bool:
        super().opened(link)
        self._session, resumed = self._state.requests.open(self.client_id, link, resume=self._resume, window=self._window)
        log.info("A bridge has connected")
        return resumed

    def accepted(self) -> None:
        self._state.requests.again(self._session)

    def closed(self) -> None:
        log.info("A bridge has disconnected")
        self._state.requests.lost(self.client_id, self._session, self.link, kept_s=self._kept_s)

    async def take(self, message: PublishedMessage) -> None:
        if not self._state.response_topic.client_id(message.topic):
            raise MessageRefused(mqtt5.NOT_AUTHORIZED, "a bridge published on a topic that is no response topic")
        delivered = self._state.answer(message.topic, message.body, message.qos)
        message.acknowledge(mqtt5.SUCCESS if delivered else mqtt5.NO_MATCHING_SUBSCRIBERS)

    def subscribe(self, topic_filter: str, qos: int) -> int:
        filters = self._session.filters
        if topic_filter not in filters and len(filters) >= MAX_FILTERS:
            return SUBSCRIPTION_REFUSED
        filters[topic_filter] = min(qos, MAX_QOS)
        # Behind the SUBACK.
        asyncio.get_running_loop().call_soon(self._state.requests.hand_out)
        return filters[topic_filter]

    def unsubscribe(self, topic_filter: str) -> None:
        self._session.filters.pop(topic_filter, None)

    def acknowledged(self, packet_id: int) -> None:
        self._state.requests.acknowledged(self._session, packet_id)
