"""Reading the body of a device's request, bounded."""

from django.conf import settings
from django.http import HttpRequest

from transports.errors import BodyTooLarge


def read_body(request: HttpRequest) -> bytes:
    """Return the body of `request`. Raises BodyTooLarge for more than MAX_REQUEST_BYTES."""
    body: bytes = request.read(settings.MAX_REQUEST_BYTES + 1)
    if len(body) > settings.MAX_REQUEST_BYTES:
        raise BodyTooLarge
    return body
