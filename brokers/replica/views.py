"""The requests of the Mosquitto plugin. deploy/mosquitto/plugin/FEED.md has the contract."""

import uuid
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from brokers.choices import BrokerKind
from brokers.models import Broker
from brokers.records import note_asked
from brokers.replica import selectors
from brokers.replica.services import devices_seen
from brokers.replica.waits import Result, waits
from brokers.views import broker_with_secret
from core.deferred import respond_later

TEXT = "text/plain; charset=utf-8"
# A server that is to stop waits for its requests, so none is held for long.
MAX_WAIT_S = 4.0
MAX_SEEN = 1_000

View = Callable[[HttpRequest, Broker], HttpResponseBase]


def _of_plugin(method: str) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """Hand a request of `method` with the broker's secret to the view; answer any other, and an outage, with its status."""

    def decorate(view: View) -> Callable[..., HttpResponseBase]:
        @csrf_exempt
        @wraps(view)
        def checked(request: HttpRequest, broker_id: uuid.UUID) -> HttpResponseBase:
            if request.method != method:
                return _status(HTTPStatus.METHOD_NOT_ALLOWED)
            try:
                broker = broker_with_secret(request, broker_id)
                if broker is None or broker.kind != BrokerKind.MOSQUITTO:
                    return _status(HTTPStatus.FORBIDDEN)
                note_asked(broker)
                return view(request, broker)
            except (OperationalError, InterfaceError):
                return _status(HTTPStatus.SERVICE_UNAVAILABLE)

        return checked

    return decorate


@_of_plugin("GET")
def snapshot(_request: HttpRequest, broker: Broker) -> HttpResponseBase:
    """GET …/snapshot: every device that may connect."""
    return StreamingHttpResponse(selectors.snapshot(broker), content_type=TEXT)


@_of_plugin("GET")
def events(request: HttpRequest, broker: Broker) -> HttpResponseBase:
    """GET …/events: what has changed since a cursor, or nothing after a while."""
    try:
        wait_s = min(max(float(request.GET.get("wait", "0")), 0.0), MAX_WAIT_S)
    except ValueError:
        return _status(HTTPStatus.BAD_REQUEST)
    try:
        found = selectors.changes(broker, request.GET.get("cursor", ""))
    except selectors.UnknownCursor:
        return _status(HTTPStatus.CONFLICT)
    if found.found or not wait_s:
        return _text(found)
    return respond_later(request, waits.wait(broker, found, wait_s), _answer)


@_of_plugin("POST")
def seen(request: HttpRequest, _broker: Broker) -> HttpResponseBase:
    """POST …/seen: ids of devices that have used their credentials, one a line."""
    try:
        device_ids = [uuid.UUID(hex=line) for line in request.body.decode("ascii").split()]
    except ValueError:
        return _status(HTTPStatus.BAD_REQUEST)
    if len(device_ids) > MAX_SEEN:
        return _status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    devices_seen(device_ids)
    return _status(HTTPStatus.NO_CONTENT)


def _answer(result: Result) -> HttpResponse:
    return _status(result) if isinstance(result, HTTPStatus) else _text(result)


def _text(found: selectors.Changes) -> HttpResponse:
    return HttpResponse(found.text, content_type=TEXT)


def _status(status: HTTPStatus) -> HttpResponse:
    body = "" if status == HTTPStatus.NO_CONTENT else f"{status.phrase}\n"
    return HttpResponse(body, status=status, content_type=TEXT)
