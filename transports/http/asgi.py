"""Django behind an event loop: a request takes a thread only when it has arrived whole, and none while it waits.

A small request to provision takes none at all: its view reads it and passes it to the group commit, which never blocks.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any

from core.deferred import Deferred
from provisioning.errors import Unavailable
from transports.codecs import JSON
from transports.database_threads import Threads
from transports.fair_turns import FairTurns
from transports.http.addresses import address_in
from transports.http.request_body import ClientGone, Receive, Refused, read_body, read_upload
from transports.http.wsgi_call import Handler, Headers, Response, call, encode_headers, make_environ

Send = Callable[[Any], Awaitable[None]]

# Uploads that may arrive, and long responses that may be on their way, at the same time in one process.
MAX_UPLOADS = 4
MAX_LONG_RESPONSES = 4
RETRY_AFTER_S = 5
# Requests of one client that wait for a thread at the same time in one process, so that it does not take all places in
# that queue, and those that wait for this. Enough to keep all threads busy.
TURNS_PER_SOURCE = 32
MAX_WAITING_PER_SOURCE = 500
# A request of more bytes takes a thread even where the view does not block: other connections wait while it is parsed.
MAX_BYTES_ON_LOOP = 2048


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The paths to which people upload files, and the largest body there, in bytes."""

    paths: frozenset[str]
    max_bytes: int


class Application:
    """The ASGI application of one process. `handler` runs in `threads`, and for a POST to `on_loop` on the event loop.

    The views of `on_loop` neither block nor use the database (Django refuses it there), and answer with less than WHOLE_BYTES.
    """

    def __init__(self, handler: Handler, threads: Threads, uploads: UploadLimits, on_loop: frozenset[str] = frozenset()) -> None:
        self._handler, self._threads, self._uploads, self._on_loop = handler, threads, uploads, on_loop
        self._uploading = 0
        self._turns = FairTurns(TURNS_PER_SOURCE, MAX_WAITING_PER_SOURCE)
        self._long_responses = threading.BoundedSemaphore(MAX_LONG_RESPONSES)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            with await self._read(scope, receive) as body:
                environ = make_environ(scope, body)
                send_long = _LongResponse(self._long_responses, receive, send)
                if self._runs_on_loop(environ):
                    response = call(self._handler, environ, send_long)
                else:
                    async with self._turns.turn(address_in(environ)):
                        response = await self._threads.run(call, self._handler, environ, send_long)
            if response and response.deferred:
                response = await _finished(response.headers, response.deferred)
        except ClientGone:
            return
        except Unavailable:
            response = _refusal(scope["path"], HTTPStatus.SERVICE_UNAVAILABLE, "The server is busy. Try again later.")
        except Refused as err:
            response = _refusal(scope["path"], err.status, err.text)
        if response:
            await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
            await send({"type": "http.response.body", "body": response.body})

    def _runs_on_loop(self, environ: dict[str, Any]) -> bool:
        is_small = int(environ["CONTENT_LENGTH"]) <= MAX_BYTES_ON_LOOP
        return is_small and environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] in self._on_loop

    async def _read(self, scope: dict[str, Any], receive: Receive) -> IO[bytes]:
        if scope["method"] != "POST" or scope["path"] not in self._uploads.paths:
            return await read_body(receive)
        if self._uploading >= MAX_UPLOADS:
            raise Unavailable("Too many uploads at the same time.")
        self._uploading += 1
        try:
            return await read_upload(receive, self._uploads.max_bytes)
        finally:
            self._uploading -= 1


class _LongResponse:
    """Sends a response from its thread, as fast as the client reads. Raises Unavailable when too many threads do that."""

    def __init__(self, free: threading.BoundedSemaphore, receive: Receive, send: Send) -> None:
        self._free, self._receive, self._send = free, receive, send
        self._loop = asyncio.get_running_loop()
        self._disconnected: asyncio.Future[Any] | None = None

    def __call__(self, response: Response, rest: Iterator[bytes]) -> None:
        if not self._free.acquire(blocking=False):
            raise Unavailable("Too many long responses at the same time.")
        try:
            self._pass({"type": "http.response.start", "status": response.status, "headers": response.headers})
            self._pass({"type": "http.response.body", "body": response.body, "more_body": True})
            for part in rest:
                self._pass({"type": "http.response.body", "body": part, "more_body": True})
            self._pass({"type": "http.response.body"})
        finally:
            self._free.release()

    def _pass(self, message: dict[str, Any]) -> None:
        asyncio.run_coroutine_threadsafe(self._pass_on(message), self._loop).result()

    async def _pass_on(self, message: dict[str, Any]) -> None:
        # uvicorn silently drops what is sent after a disconnect; only `receive` reports it.
        self._disconnected = self._disconnected or asyncio.ensure_future(self._receive())
        await self._send(message)
        if message.get("more_body") and self._disconnected.done():
            raise ClientGone


async def _finished(headers: Headers, deferred: Deferred[Any]) -> Response:
    """Return the response that was deferred, with those of `headers` that it does not have itself."""
    later = deferred.finish(await asyncio.wrap_future(deferred.future))
    later.headers["Content-Length"] = str(len(later.content))
    others = [(name, value) for name, value in headers if name.decode("latin-1") not in later.headers]
    return Response(later.status_code, [*encode_headers(list(later.items())), *others], later.content)


def _refusal(path: str, status: HTTPStatus, text: str) -> Response:
    as_json = path.startswith("/api/")
    body = JSON.encode_error(text) if as_json else f"{text}\n".encode()
    headers = {"Content-Type": JSON.content_type if as_json else "text/plain", "Content-Length": str(len(body))}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Response(status, encode_headers(list(headers.items())), body)
