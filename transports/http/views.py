"""What devices call over HTTP (docs/protocol.md, *HTTP* and *With the credentials afterwards*)."""

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.deferred import respond_later
from devices.authentication import AuthenticationFailed, PresentedToken
from devices.errors import QuotaExceeded
from devices.models import Device
from provisioning.choices import Transport
from provisioning.errors import Unavailable
from provisioning.login_limits import LoginLimited, authenticate
from transports.codecs import JSON
from transports.codecs.device_data import BadDeviceData
from transports.device_data import answer_attribute_query, take_attributes, take_telemetry
from transports.errors import BodyTooLarge
from transports.handler import Reply, ReplyKind, handle, limited, too_large, unavailable
from transports.http.addresses import client_address
from transports.http.body import read_body
from transports.http.long_poll import DEFAULT_S, MAX_S, itself, long_polls

STATUS = {
    ReplyKind.SUCCESS: HTTPStatus.OK,
    # Deployed clients call raise_for_status before they look into the body.
    ReplyKind.REFUSED: HTTPStatus.OK,
    ReplyKind.MALFORMED: HTTPStatus.BAD_REQUEST,
    ReplyKind.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ReplyKind.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ReplyKind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


class AnyAccept(DefaultContentNegotiation):
    """The answer has the format of the request, whatever `Accept` or `?format=` ask for; firmware gets an answer, no 406."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class DeviceView(APIView):
    """A view for devices: the request itself identifies them, so none of DRF's authenticators or throttles runs."""

    content_negotiation_class = AnyAccept
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    # Not part of the OpenAPI schema of the management API: the devices' contract is described in words.
    schema = None

    def perform_authentication(self, request: Request) -> None:
        """Do nothing: no device view uses request.user."""

    def handle_exception(self, exc: Exception) -> Response:
        """Return what DRF refuses, another method than POST, in the devices' own form. Raises what DRF does not know."""
        answer = super().handle_exception(exc)
        answer.data = json.loads(JSON.encode_error(answer.data["detail"]))
        return answer


class ProvisionView(DeviceView):
    """POST /api/v1/provision: a device asks for credentials."""

    def post(self, request: Request) -> HttpResponse:
        # Django's own request: DRF's finds each attribute of it by trial.
        plain = request._request
        address = client_address(plain)
        try:
            body = read_body(plain)
        except BodyTooLarge:
            return response(too_large(Transport.HTTP, address))
        key = plain.META.get("HTTP_IDEMPOTENCY_KEY")
        return respond_later(plain, handle(body, Transport.HTTP, address, idempotency_key=key), response)


class DeviceDataView(DeviceView):
    """/api/v1/{token}/…: what a device sends, and what it reads; `take` keeps what it sends."""

    @staticmethod
    def take(device: Device, body: bytes) -> None:
        raise NotImplementedError

    def post(self, request: Request, token: str) -> HttpResponse:
        return self.answered(request, token, lambda device: self.take(device, read_body(request._request)))

    def answered(self, request: Request, token: str, act: Callable[[Device], bytes | HttpResponse | None]) -> HttpResponse:
        """Return what `act` answers to the device of `token`, JSON or nothing or a response, or why not."""
        try:
            body = act(authenticate(PresentedToken(token), Transport.HTTP, client_address(request._request)))
        except AuthenticationFailed as err:
            return _unauthorized(err)
        except BodyTooLarge:
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
        except (BadDeviceData, QuotaExceeded) as err:
            return _error(HTTPStatus.BAD_REQUEST, str(err))
        except (Unavailable, OperationalError, InterfaceError):
            return response(unavailable())
        return body if isinstance(body, HttpResponse) else _data(body)


class TelemetryView(DeviceDataView):
    """POST /api/v1/{token}/telemetry."""

    take = staticmethod(take_telemetry)


class AttributesView(DeviceDataView):
    """POST and GET /api/v1/{token}/attributes."""

    take = staticmethod(take_attributes)

    def get(self, request: Request, token: str) -> HttpResponse:
        query = request._request.GET
        keys = {"client_keys": query.get("clientKeys", ""), "shared_keys": query.get("sharedKeys", "")}
        return self.answered(request, token, lambda device: answer_attribute_query(device, **keys))


class AttributeUpdatesView(DeviceDataView):
    """GET /api/v1/{token}/attributes/updates?timeout=milliseconds: wait until a shared attribute changes."""

    http_method_names = ("get", "options")

    def get(self, request: Request, token: str) -> HttpResponse:
        plain = request._request
        try:
            timeout_s = min(int(plain.GET.get("timeout") or 1000 * DEFAULT_S) / 1000, MAX_S)
        except ValueError:
            return _error(HTTPStatus.BAD_REQUEST, "timeout must be a number of milliseconds.")
        return self.answered(request, token, lambda device: respond_later(plain, long_polls.wait(device.pk, timeout_s), itself))


def response(reply: Reply) -> HttpResponse:
    """Return `reply` as HTTP."""
    answer = HttpResponse(reply.body, status=STATUS[reply.kind], content_type=reply.codec.content_type)
    answer["Cache-Control"] = "no-store"
    answer["X-Request-ID"] = reply.request_id
    if reply.retry_after_s:
        answer["Retry-After"] = str(reply.retry_after_s)
    return answer


def _unauthorized(err: AuthenticationFailed) -> HttpResponse:
    if isinstance(err, LoginLimited):
        return response(limited(err.retry_after_s))
    return HttpResponse(status=HTTPStatus.UNAUTHORIZED, content_type="text/plain")


def _data(body: bytes | None) -> HttpResponse:
    if body is None:
        return HttpResponse(content_type="text/plain")
    return HttpResponse(body, content_type=JSON.content_type, headers={"Cache-Control": "no-store"})


def _error(status: HTTPStatus, text: str) -> HttpResponse:
    return HttpResponse(JSON.encode_error(text), status=status, content_type=JSON.content_type)
