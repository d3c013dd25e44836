"""Error pages: JSON for devices and programs, Django's own for people. Named in config/urls.py."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from provisioning.errors import Unavailable
from transports.codecs import JSON


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _json(request, HTTPStatus.BAD_REQUEST, "Bad request.") or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _json(request, HTTPStatus.FORBIDDEN, "Not allowed.") or defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _json(request, HTTPStatus.NOT_FOUND, "No such path.") or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    return _json(request, HTTPStatus.INTERNAL_SERVER_ERROR, "An error of the server.") or defaults.server_error(request)


def secret_unreadable(request: HttpRequest) -> HttpResponse:
    """Answer 503: a stored secret was encrypted under a key that this process has not got, or not yet."""
    text = "A stored secret cannot be decrypted: its key is missing in ENCRYPTION_KEYS of this server."
    status = HTTPStatus.SERVICE_UNAVAILABLE
    answer = _json(request, status, text) or HttpResponse(text, status=status, content_type="text/plain")
    answer["Retry-After"] = str(Unavailable.retry_after_s)
    return answer


def _json(request: HttpRequest, status: HTTPStatus, text: str) -> HttpResponse | None:
    if not request.path.startswith("/api/"):
        return None
    body = JSON.encode_error(text)
    # Without its length the server would send it in chunks, which small clients cannot read.
    return HttpResponse(body, status=status, content_type=JSON.content_type, headers={"Content-Length": str(len(body))})
