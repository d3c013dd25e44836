"""Our web server around a WSGI callable, in a thread of the test process."""

import socket
import threading
from collections.abc import Callable
from typing import Any, Self

import uvicorn

from tests.support.processes import wait_for
from transports.database_threads import Threads
from transports.http.asgi import Application, UploadLimits
from transports.http.connection import ConnectionLimits, SilentConnections
from transports.http.server import uvicorn_config

READ_S = 30.0


class AsgiServer:
    """Serves `handler` on `port` of 127.0.0.1 from entry to exit.

    `/upload` is an upload path for up to 4 MiB, and a POST to `/on-loop` takes no thread.
    """

    def __init__(
        self, handler: Callable[..., Any], *, limits: ConnectionLimits | None = None, threads: int = 4, max_waiting: int = 100
    ) -> None:
        self.silent = SilentConnections(limits or ConnectionLimits(total=1_000, per_source=None))
        self._threads = Threads(threads, max_waiting)
        uploads = UploadLimits(frozenset({"/upload"}), 4 * 1024 * 1024)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        application = Application(handler, self._threads, uploads, frozenset({"/on-loop"}))
        self._server = uvicorn.Server(uvicorn_config(application, self.silent, grace_s=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: self._server.started, "the server")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(READ_S)
        self._threads.close()

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Return a new connection from the address `source`."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=READ_S, source_address=(source, 0))

    def ask(self, request: bytes) -> bytes:
        """Return what is answered to `request` on a connection of its own, which the server closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes. Raises TimeoutError."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        pass
    return received
