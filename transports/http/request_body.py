"""Reading the body of a request on the event loop, bounded."""

import io
import tempfile
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import IO, Any

Receive = Callable[[], Awaitable[Any]]

# Every body except an upload's. A device's view refuses more than MAX_REQUEST_BYTES itself, in the device's own form.
MAX_BYTES = 1024 * 1024


class ClientGone(Exception):
    """The connection ended before the request was complete, or before the whole response was sent."""


class Refused(Exception):
    """The request is not served; the response is `status`, and `text` for its reader."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


async def read_body(receive: Receive, limit: int = MAX_BYTES) -> IO[bytes]:
    """Return the whole body, at its end. Raises ClientGone, and Refused for more than `limit` bytes.

    uvicorn reads and discards what a refused client is still sending, so that the client gets its response.
    """
    body = io.BytesIO()
    await _copy(receive, body, limit)
    return body


async def read_upload(receive: Receive, limit: int) -> IO[bytes]:
    """Return the whole body, at its end, in a file without a name, which vanishes when it is closed or the process dies.

    Raises ClientGone, and Refused for more than `limit` bytes or when the disk is full.
    """
    file: IO[bytes] | None = None
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 # closed by the caller
        await _copy(receive, file, limit)
    except OSError as err:
        raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, f"The server cannot store the upload: {err.strerror}.") from err
    else:
        complete, file = file, None
        return complete
    finally:
        if file:
            file.close()


async def _copy(receive: Receive, body: IO[bytes], limit: int) -> None:
    more = True
    length = 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        length += len(message["body"])
        if length > limit:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large.")
        body.write(message["body"])
        more = message["more_body"]
