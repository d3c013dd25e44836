"""What devices call over CoAP (docs/protocol.md, *CoAP* and *With the credentials afterwards*)."""

import asyncio
import contextlib
import ipaddress
import uuid
from collections.abc import Callable

from aiocoap import Code, Message
from aiocoap.error import BadRequest, RequestEntityTooLarge, Unauthorized
from aiocoap.interfaces import EndpointAddress
from aiocoap.numbers import ContentFormat
from aiocoap.resource import Resource
from django.conf import settings
from django.db import InterfaceError, OperationalError

from devices.authentication import AuthenticationFailed, PresentedToken
from devices.errors import QuotaExceeded
from devices.models import Device
from provisioning.choices import Transport
from provisioning.errors import Unavailable
from provisioning.login_limits import LoginLimited, authenticate
from transports.coap import echo
from transports.codecs.device_data import BadDeviceData
from transports.database_threads import DatabaseThreads
from transports.device_data import answer_attribute_query, take_attributes, take_telemetry
from transports.handler import Reply, ReplyKind, ReplySize, handle, limited, too_large, unavailable

# Firmware reads into a small buffer over CoAP too (docs/protocol.md, *Response*, Size).
REPLY_SIZE = ReplySize(wanted=256)

CODE = {
    ReplyKind.SUCCESS: Code.CREATED,
    ReplyKind.REFUSED: Code.BAD_REQUEST,
    # The body, JSON with an errorMsg, is the diagnostic text as well: deployed clients read errorMsg from every 4.00.
    ReplyKind.MALFORMED: Code.BAD_REQUEST,
    ReplyKind.TOO_LARGE: Code.REQUEST_ENTITY_TOO_LARGE,
    ReplyKind.LIMITED: Code.TOO_MANY_REQUESTS,
    ReplyKind.UNAVAILABLE: Code.SERVICE_UNAVAILABLE,
}


class DeviceResource(Resource):
    """A resource for devices. A method that it has no `render_…` for is answered with 4.05, by aiocoap."""

    def too_large(self, request: Message) -> Message:
        """Return the answer to a request whose body is longer than MAX_REQUEST_BYTES: 4.13, with what would be taken."""
        answer = RequestEntityTooLarge("The body is too large.").to_message()
        answer.opt.size1 = settings.MAX_REQUEST_BYTES
        return answer


class ProvisionResource(DeviceResource):
    """POST /api/v1/provision: a device asks for credentials."""

    async def render_post(self, request: Message) -> Message:
        peer = address(request.remote)
        proven = echo.has_proven(request, peer)
        reply = handle(request.payload, Transport.COAP, peer, proven=proven, size=REPLY_SIZE)
        return answer_to(peer, await asyncio.wrap_future(reply), proven=proven)

    def too_large(self, request: Message) -> Message:
        return message(too_large(Transport.COAP, address(request.remote)))


class DeviceDataResource(DeviceResource):
    """/api/v1/{token}/…: what a device sends, and what it reads; `take` keeps what it sends.

    Errors are diagnostic text (RFC 7252 section 5.5.2).
    """

    take: Callable[[Device, bytes], None]

    def __init__(self, threads: DatabaseThreads) -> None:
        super().__init__()
        self._threads = threads

    async def render_post(self, request: Message) -> Message:
        return await self.answered(request, lambda device: self.take(device, request.payload))

    async def answered(self, request: Message, act: Callable[[Device], bytes | None]) -> Message:
        """Return what `act` answers to the device that asks, JSON or nothing. Raises RenderableError."""
        # A token that a device chose may have a slash.
        presented = PresentedToken("/".join(request.opt.uri_path[2:-1]))
        peer = address(request.remote)
        proven = echo.has_proven(request, peer)
        try:
            body = await self._threads.run(lambda: act(authenticate(presented, Transport.COAP, peer, proven=proven)))
        except LoginLimited as err:
            return answer_to(peer, limited(err.retry_after_s), proven=proven)
        except AuthenticationFailed:
            raise Unauthorized from None
        except (BadDeviceData, QuotaExceeded) as err:
            raise BadRequest(str(err)) from None
        except (Unavailable, OperationalError, InterfaceError):
            return message(unavailable())
        if body is None:
            return Message(code=Code.CREATED)
        return Message(code=Code.CONTENT, payload=body, content_format=ContentFormat.JSON)


class TelemetryResource(DeviceDataResource):
    """POST /api/v1/{token}/telemetry."""

    take = staticmethod(take_telemetry)


class AttributesResource(DeviceDataResource):
    """POST and GET /api/v1/{token}/attributes."""

    take = staticmethod(take_attributes)

    async def render_get(self, request: Message) -> Message:
        query = dict(option.partition("=")[::2] for option in request.opt.uri_query)
        keys = {"client_keys": query.get("clientKeys", ""), "shared_keys": query.get("sharedKeys", "")}
        return await self.answered(request, lambda device: answer_attribute_query(device, **keys))

    async def device_id(self, request: Message) -> uuid.UUID | None:
        """Return the id of the device that asks, None if there is none or the database is unavailable."""
        found: list[uuid.UUID] = []
        with contextlib.suppress(Unauthorized):
            await self.answered(request, lambda device: found.append(device.pk))
        return found[0] if found else None


class CoreResource(DeviceResource):
    """GET /.well-known/core: what there is (RFC 6690). A token belongs to its device, so only provisioning is listed."""

    LINKS = b'</api/v1/provision>;rt="firstlight.provision";ct="50 42"'

    async def render_get(self, request: Message) -> Message:
        return Message(payload=self.LINKS, content_format=ContentFormat.LINKFORMAT)


def answer_to(peer: str, reply: Reply, *, proven: bool) -> Message:
    """Return `reply` as CoAP; where the source is limited, whose address may be forged, ask it to prove that first."""
    return message(reply) if proven or reply.kind != ReplyKind.LIMITED else echo.challenge(peer)


def message(reply: Reply) -> Message:
    """Return `reply` as CoAP."""
    answer = Message(code=CODE[reply.kind], payload=reply.body, content_format=reply.codec.coap_content_format)
    if reply.kind == ReplyKind.TOO_LARGE:
        answer.opt.size1 = settings.MAX_REQUEST_BYTES
    if reply.retry_after_s:
        answer.opt.max_age = reply.retry_after_s
    return answer


def address(remote: EndpointAddress) -> str:
    """Return the peer's address as text; one of IPv4 in IPv4's own form, though the socket is one of IPv6."""
    parsed = ipaddress.IPv6Address(remote.sockaddr[0])
    return str(parsed.ipv4_mapped or parsed)
