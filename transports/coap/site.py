"""Which resource serves which path, and what all requests share: options, blocks, shutdown."""

import asyncio
from collections.abc import Sequence

from aiocoap import Code, Message
from aiocoap.error import BadOption, NotFound, ProxyingNotSupported
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.pipe import Pipe
from django.conf import settings

from transports.coap import echo
from transports.coap.amplification import payload_room, shortened
from transports.coap.blocks import Downloads, Uploads
from transports.coap.observers import REGISTER, AttributeObservers
from transports.coap.resources import (
    AttributesResource,
    CoreResource,
    DeviceResource,
    ProvisionResource,
    TelemetryResource,
    address,
)
from transports.database_threads import DatabaseThreads
from transports.device_news import NewsFeed
from transports.errors import BodyTooLarge

PROXY = {OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME}
# RFC 7252 section 5.4.1: a critical option that we do not know makes the request a bad one. Accept is known and not
# heeded: the answer has the format of the request, and firmware that asks for another one takes it (docs/protocol.md).
UNDERSTOOD = {
    OptionNumber.IF_MATCH,
    OptionNumber.URI_HOST,
    OptionNumber.IF_NONE_MATCH,
    OptionNumber.URI_PORT,
    OptionNumber.URI_PATH,
    OptionNumber.URI_QUERY,
    OptionNumber.ACCEPT,
    OptionNumber.BLOCK1,
    OptionNumber.BLOCK2,
}


ANY_LENGTH = 1024 * 1024


class Site:
    """The CoAP resources of Firstlight. aiocoap's own site copies each request and knows no path with a variable in it."""

    def __init__(self, threads: DatabaseThreads) -> None:
        self._uploads = Uploads(settings.MAX_REQUEST_BYTES)
        self._downloads = Downloads()
        self._provision = ProvisionResource()
        self._core = CoreResource()
        attributes = AttributesResource(threads)
        self._device_data = {"telemetry": TelemetryResource(threads), "attributes": attributes}
        self.news = NewsFeed()
        self._observers = AttributeObservers(attributes, self.news)
        self._inflight: set[asyncio.Task[None]] = set()

    async def render_to_pipe(self, pipe: Pipe) -> None:
        """Answer the request in `pipe`. What is raised becomes the answer, by aiocoap."""
        if self._is_observation(pipe.request):
            await self._observers.serve(pipe, self.answer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._inflight.add(task)
        try:
            pipe.add_response(await self.answer(pipe.request), is_last=True)
        finally:
            self._inflight.discard(task)

    async def answer(self, request: Message) -> Message:
        """Return the answer to `request`. Raises RenderableError, which is an answer too."""
        _check_options(request)
        resource = self.resource(request.opt.uri_path)
        block = self._downloads.next_block(request)
        if block is not None:
            return block
        try:
            request.payload = self._uploads.body(request)
        except BodyTooLarge:
            answer = resource.too_large(request)
        else:
            answer = await resource.render(request)
        if block1 := request.opt.block1:
            # Not more: the answer is final, and a client sends no further blocks (RFC 7959 section 2.2).
            answer.opt.block1 = (block1.block_number, False, block1.size_exponent)
        proven = echo.has_proven(request, address(request.remote))
        room = ANY_LENGTH if proven else payload_room(request, len(request.payload))
        return self._downloads.first_block(request, shortened(answer, room), room)

    def resource(self, path: Sequence[str]) -> DeviceResource:
        """Return the resource at `path`. Raises NotFound."""
        match tuple(path):
            case (".well-known", "core"):
                return self._core
            case ("api", "v1", "provision"):
                return self._provision
            case ("api", "v1", _, *_, ("telemetry" | "attributes") as kind):
                return self._device_data[kind]
        raise NotFound("No such path.")

    def _is_observation(self, request: Message) -> bool:
        if request.code is not Code.GET or request.opt.observe != REGISTER:
            return False
        return self.resource(request.opt.uri_path) is self._device_data["attributes"]

    async def finish(self, timeout_s: float) -> None:
        """Return when all requests in flight have been answered, at the latest after `timeout_s`."""
        self._observers.close()
        if self._inflight:
            await asyncio.wait(self._inflight, timeout=timeout_s)


def _check_options(request: Message) -> None:
    for option in request.opt.option_list():
        if option.number in PROXY:
            raise ProxyingNotSupported
        if option.number.is_critical() and option.number not in UNDERSTOOD:
            raise BadOption(f"Option {int(option.number)} is not understood.")
