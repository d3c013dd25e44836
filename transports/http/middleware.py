"""The short way to the views that devices call."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import resolve

# Of devices, and of the brokers that ask about them.
DEVICE_PATHS = ("/api/v1/", "/api/brokers/")


class DeviceRequests:
    """Hands what devices ask straight to its view.

    The middleware after this one is for people: sessions, forms, logins, pages. For a device it has nothing to do, and
    costs as much as all the rest of its request (docs/performance.md).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(DEVICE_PATHS):
            return self._get_response(request)
        # Raises DisallowedHost. Like Http404, it becomes an answer by handlers of config/urls.py.
        request.get_host()
        match = request.resolver_match = resolve(request.path_info)
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response.render()
        if not response.streaming:
            response.headers["Content-Length"] = str(len(response.content))
        return response
