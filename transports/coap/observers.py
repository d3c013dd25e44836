"""Observe on …/attributes: a device hears of its shared attributes as they change (RFC 7641, docs/protocol.md).

An observation is a task that waits; it holds no thread. A device has one, and a later one takes its place.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

from aiocoap import Code, Message
from aiocoap.numbers import ContentFormat
from aiocoap.pipe import Pipe

from transports.coap.resources import AttributesResource
from transports.codecs.device_data import encode
from transports.device_news import DeviceNews, NewsFeed

MAX_OBSERVERS = 10_000
REGISTER = 0
# Larger ones go block-wise, as part of all attributes.
MAX_UPDATE_BYTES = 1024
# Within a day each observer must have had to acknowledge something (RFC 7641 section 4.5), or it is forgotten.
CHECK_AFTER_S = 12 * 3600.0


class AttributeObservers:
    """The devices that observe their attributes."""

    def __init__(self, resource: AttributesResource, news: NewsFeed, limit: int = MAX_OBSERVERS) -> None:
        self._resource, self._news, self._limit = resource, news, limit
        self._tasks: dict[uuid.UUID, asyncio.Task[None]] = {}

    async def serve(self, pipe: Pipe, answer: Callable[[Message], Awaitable[Message]]) -> None:
        """Give `pipe` the attributes, as `answer` gets them, and then what changes. Raises RenderableError.

        Beyond the limit there is the first answer alone, without an Observe option (RFC 7641 section 4.1).
        """
        device_id = await self._resource.device_id(pipe.request)
        earlier = self._tasks.get(device_id) if device_id else None
        if device_id is None or (earlier is None and len(self._tasks) >= self._limit):
            pipe.add_response(await answer(pipe.request), is_last=True)
            return
        if earlier:
            earlier.cancel()
        task = asyncio.current_task()
        assert task
        self._tasks[device_id] = task
        heard: asyncio.Queue[DeviceNews] = asyncio.Queue()
        # Before the attributes are read: a change in between is heard of twice, not never.
        stop_listening = self._news.listen(device_id, heard.put_nowait)
        try:
            await self._observe(pipe, answer, heard)
        finally:
            stop_listening()
            if self._tasks.get(device_id) is task:
                del self._tasks[device_id]

    async def _observe(
        self, pipe: Pipe, answer: Callable[[Message], Awaitable[Message]], heard: "asyncio.Queue[DeviceNews]"
    ) -> None:
        first = await answer(pipe.request)
        while first.code is Code.CONTENT:
            first.opt.observe = _sequence_number()
            pipe.add_response(first, is_last=False)
            if not await self._notify(pipe, heard):
                return
            first = await answer(pipe.request)
        pipe.add_response(first, is_last=True)

    async def _notify(self, pipe: Pipe, heard: "asyncio.Queue[DeviceNews]") -> bool:
        """Send updates as they are heard.

        Return True if all attributes must be sent again: nothing happened for long, or an update does not fit into a
        datagram. Return False if the device may hear no more.
        """
        while True:
            try:
                async with asyncio.timeout(CHECK_AFTER_S):
                    news = await heard.get()
            except TimeoutError:
                return True
            if news.gone or (news.access_changed and await self._resource.device_id(pipe.request) is None):
                pipe.add_response(Message(code=Code.UNAUTHORIZED), is_last=True)
                return False
            if news.attributes:
                body = encode(news.attributes)
                if len(body) > MAX_UPDATE_BYTES:
                    return True
                update = Message(code=Code.CONTENT, payload=body, content_format=ContentFormat.JSON)
                update.opt.observe = _sequence_number()
                pipe.add_response(update, is_last=False)

    def close(self) -> None:
        """End all observations."""
        for task in list(self._tasks.values()):
            task.cancel()


def _sequence_number() -> int:
    """Return a number of 24 bits that grows with time, beyond a restart too (RFC 7641 section 4.4)."""
    return int(time.monotonic() * 8) % 2**24
