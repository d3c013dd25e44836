"""One request through Django's WSGI handler (PEP 3333), in a thread."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NoReturn
from urllib.parse import unquote_to_bytes

from core.deferred import ACCEPTED, Deferred

# A response up to this size is handed over whole. A longer one needs its thread for as long as the client reads it.
WHOLE_BYTES = 1024 * 1024

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers and body; where it is `deferred`, only the headers that it would have in any case."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    deferred: Deferred[Any] | None = None


# A WSGI application. Its response also has `close`, which PEP 3333 leaves open and Django needs.
Handler = Callable[[dict[str, Any], Callable[..., Any]], Any]
# Sends a response that is too long to be handed over whole: its beginning, and the parts that follow.
SendLong = Callable[[Response, Iterator[bytes]], None]


def call(handler: Handler, environ: dict[str, Any], send_long: SendLong) -> Response | None:
    """Return the response to the request in `environ`; None when it went to `send_long`."""
    started: list[Response] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> Callable[[bytes], NoReturn]:
        started.append(Response(int(status[:3]), encode_headers(headers)))
        return _write

    response = handler(environ, start_response)
    try:
        if isinstance(response, Deferred):
            return Response(started[0].status, started[0].headers, deferred=response)
        parts, size, rest = [], 0, iter(response)
        for part in rest:
            parts.append(part)
            size += len(part)
            if size > WHOLE_BYTES:
                send_long(Response(started[0].status, started[0].headers, b"".join(parts)), rest)
                return None
        return Response(started[0].status, started[0].headers, b"".join(parts))
    finally:
        # Ends the request for Django too: its database connection is looked after.
        response.close()


def make_environ(scope: dict[str, Any], body: IO[bytes]) -> dict[str, Any]:
    """Return the environ of the request with the ASGI `scope` and the whole `body`, which is at its end."""
    raw_path: bytes = scope["raw_path"]
    host, port = scope["server"]
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": (unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        ACCEPTED: True,
    }
    for name, value in scope["headers"]:
        # X_Forwarded_For would become the same variable as X-Forwarded-For, which only our proxies may write.
        if b"_" in name:
            continue
        variable = name.decode("latin-1").upper().replace("-", "_")
        if variable != "CONTENT_TYPE":
            variable = f"HTTP_{variable}"
        text = value.decode("latin-1")
        separator = "; " if variable == "HTTP_COOKIE" else ","
        environ[variable] = f"{environ[variable]}{separator}{text}" if variable in environ else text
    # The body is here, whole and without its encoding, whatever the client's headers say.
    environ.pop("HTTP_CONTENT_LENGTH", None)
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(body.tell())
    body.seek(0)
    return environ


def encode_headers(headers: list[tuple[str, str]]) -> Headers:
    """Return `headers` as bytes."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _write(_data: bytes) -> NoReturn:
    raise NotImplementedError("Django does not use the write callable of WSGI.")
