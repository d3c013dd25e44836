"""What all connections of the broker share. Everything but the database work runs in the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

from django.conf import settings
from django.db import close_old_connections

from transports.mqtt.broker.requests import RequestQueue
from transports.mqtt.broker.topics import PerClientTopic
from transports.mqtt.client_ids import split_client_id

P = ParamSpec("P")
R = TypeVar("R")

DATABASE_THREADS = 4


class Database:
    """A few threads for what blocks. Each keeps its database connection as long as that is good."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="mqtt-database")

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `work` returns in one of the threads; raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: _tidily(work, *args, **kwargs))

    def close(self) -> None:
        """Let the threads finish what they are at; nothing else is begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _tidily(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    close_old_connections()
    try:
        return work(*args, **kwargs)
    finally:
        close_old_connections()


class Answerable(Protocol):
    """A client that provisions, as far as replies are concerned."""

    def answer(self, request: str, body: bytes, qos: int) -> None: ...


class Hub:
    """The requests under way, who waits for a reply, and the way to the database."""

    def __init__(self) -> None:
        self.requests = RequestQueue()
        self.database = Database()
        self.provisioners: dict[str, Answerable] = {}
        self.request_topic = PerClientTopic.of(settings.MQTT_REQUEST_TOPIC)
        self.response_topic = PerClientTopic.of(settings.MQTT_RESPONSE_TOPIC)

    def answer(self, topic: str, body: bytes, qos: int) -> bool:
        """Hand a bridge's reply to the one client that asked. Return whether it is still there."""
        key, request = split_client_id(self.response_topic.client_id(topic))
        client = self.provisioners.get(key)
        if client:
            client.answer(request, body, qos)
        return client is not None
