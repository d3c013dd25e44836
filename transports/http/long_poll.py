"""Long polls: devices that wait for their shared attributes to change, on the event loop of a worker process."""

import asyncio
import uuid
from concurrent.futures import Future
from http import HTTPStatus

from django.http import HttpResponse

from transports.codecs import JSON
from transports.codecs.device_data import encode
from transports.device_news import DeviceNews, NewsFeed, TooManyWaits

DEFAULT_S = 60.0
# The proxy in front waits a little longer (deploy/nginx).
MAX_S = 300.0


class LongPolls:
    """The waiting devices of this process. Waiting is possible only in our own web server."""

    def __init__(self) -> None:
        self._feed: NewsFeed | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._feed, self._loop = NewsFeed(), asyncio.get_running_loop()
        self._feed.start()

    async def stop(self) -> None:
        """Answer everyone who waits, and begin no other wait."""
        feed, self._feed = self._feed, None
        if feed:
            await feed.stop()

    def wait(self, device_id: uuid.UUID, timeout_s: float) -> "Future[HttpResponse]":
        """Return the future response to a device: 200 with what changed, 408 without a change, 401 when it is gone.

        503 while too many wait. A later wait of the same device ends this one. Safe to call from any thread.
        """
        if self._feed is None or self._loop is None:
            refused: Future[HttpResponse] = Future()
            refused.set_result(_busy())
            return refused
        return asyncio.run_coroutine_threadsafe(_wait(self._feed, device_id, timeout_s), self._loop)


# Those of this process.
long_polls = LongPolls()


def itself(response: HttpResponse) -> HttpResponse:
    """Return `response`, which is what a wait is for."""
    return response


async def _wait(feed: NewsFeed, device_id: uuid.UUID, timeout_s: float) -> HttpResponse:
    try:
        return _response(await feed.wait(device_id, timeout_s))
    except TooManyWaits:
        return _busy()


def _response(news: DeviceNews | None) -> HttpResponse:
    if news and news.gone:
        return HttpResponse(status=HTTPStatus.UNAUTHORIZED, content_type="text/plain")
    if news and news.attributes:
        return HttpResponse(encode(news.attributes), content_type=JSON.content_type, headers={"Cache-Control": "no-store"})
    # Also where the credentials changed: the next request says whether they are still good.
    return HttpResponse(status=HTTPStatus.REQUEST_TIMEOUT, content_type="text/plain")


def _busy() -> HttpResponse:
    text = "Too many devices are waiting. Try again later."
    return HttpResponse(
        JSON.encode_error(text),
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        content_type=JSON.content_type,
        headers={"Retry-After": "5"},
    )
