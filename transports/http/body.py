"""Reading a request body, bounded."""

from django.conf import settings
from django.http import HttpRequest

from transports.errors import BodyTooLarge

# What is read beyond the limit and thrown away, so that a client which sends its whole body first still reads the answer.
DRAINED_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024


def read_body(request: HttpRequest) -> bytes:
    """Return the body of `request`. Raises BodyTooLarge."""
    # Django reads no body without Content-Length; a chunked one (RFC 9112 section 7.1) is bounded by the server itself.
    chunked = "CONTENT_LENGTH" not in request.META and "HTTP_TRANSFER_ENCODING" in request.META
    stream = request.META["wsgi.input"] if chunked else request
    body: bytes = stream.read(settings.MAX_REQUEST_BYTES + 1)
    if len(body) <= settings.MAX_REQUEST_BYTES:
        return body
    drained = len(body)
    while drained < DRAINED_BYTES and (more := stream.read(CHUNK_BYTES)):
        drained += len(more)
    raise BodyTooLarge
