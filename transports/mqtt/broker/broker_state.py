"""What all connections of the broker share. Everything but the database work runs in the event loop."""

from typing import Protocol

from django.conf import settings

from transports.database_threads import DatabaseThreads
from transports.device_news import NewsFeed
from transports.fair_turns import FairTurns
from transports.mqtt.broker.requests import RequestQueue
from transports.mqtt.client_ids import split_client_id
from transports.mqtt.topics import PerClientTopic

DATABASE_THREADS = 4
# CONNECTs of one address that wait for a thread at the same time, so that it does not take all places in that queue,
# and those that wait for this: all of its connections may.
LOGINS_PER_ADDRESS = 64
MAX_WAITING_LOGINS = 100_000


class Answerable(Protocol):
    """A client that provisions, as far as replies are concerned."""

    def answer(self, request: str, body: bytes, qos: int) -> None: ...


class BrokerState:
    """The requests under way, who waits for a reply, what happens to devices, and the way to the database."""

    def __init__(self) -> None:
        self.requests = RequestQueue()
        self.database = DatabaseThreads(DATABASE_THREADS)
        self.logins = FairTurns(LOGINS_PER_ADDRESS, MAX_WAITING_LOGINS)
        self.news = NewsFeed()
        self.provisioning_clients: dict[str, Answerable] = {}
        self.request_topic = PerClientTopic.of(settings.MQTT_REQUEST_TOPIC)
        self.response_topic = PerClientTopic.of(settings.MQTT_RESPONSE_TOPIC)

    def answer(self, topic: str, body: bytes, qos: int) -> bool:
        """Pass a bridge's reply to the client that sent the request. Return whether it is still connected."""
        key, request = split_client_id(self.response_topic.client_id(topic))
        client = self.provisioning_clients.get(key)
        if client:
            client.answer(request, body, qos)
        return client is not None
