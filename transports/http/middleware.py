"""The short way to the views that devices and other programs call, and what becomes of an error that any view may meet."""

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import resolve

from core.encryption import DecryptionFailed
from transports.http.errors import secret_unreadable

log = logging.getLogger(__name__)

# Of devices, of the brokers that ask about them, and of what watches this server.
DEVICE_PATHS = ("/api/v1/", "/api/brokers/")
WATCHED_PATHS = ("/healthz", "/readyz", "/metrics")


class DeviceRequests:
    """Hands what devices, brokers and monitoring ask straight to its view.

    The middleware after this one is for people: sessions, forms, logins, pages. For a device it has nothing to do, and
    costs as much as all the rest of its request (docs/performance.md).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(DEVICE_PATHS) and request.path_info not in WATCHED_PATHS:
            return self._get_response(request)
        # The Host header is not looked at: firmware sends an address, any name, or none, and monitoring and balancers the
        # address of the server. Http404 becomes an answer by the handlers of config/urls.py.
        match = request.resolver_match = resolve(request.path_info)
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response.render()
        if not response.streaming:
            response.headers["Content-Length"] = str(len(response.content))
        return response


class UnreadableSecrets:
    """Answers 503 where a view met a secret that cannot be decrypted: another order of keys, or their return, helps."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the answer, for that exception alone."""
        if not isinstance(exception, DecryptionFailed):
            return None
        log.error("%s", exception)
        return secret_unreadable(request)
