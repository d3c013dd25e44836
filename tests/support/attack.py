"""What an attacker does with plain sockets, and whether others are served meanwhile."""

import contextlib
import logging
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

ANSWER_S = 2.0
TRIES = 5


@contextlib.contextmanager
def open_connections(
    port: int, count: int, sent: bytes, tls: ssl.SSLContext | None = None, source: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    """Open `count` connections from `source` to `port` of 127.0.0.1, send `sent` on each and nothing more.

    At the end they are closed. One that the server closes, as it may, is not opened again.
    """
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                connection = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
                opened.append(connection)
                if tls:
                    opened[-1] = connection = tls.wrap_socket(connection, server_hostname="localhost")
                connection.sendall(sent)
        log.info("%d of %d connections from %s are open", len(opened), count, source)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def served_in_time(ask: Callable[[float], int]) -> bool:
    """Return whether `ask(timeout_s)` returns the status 200 within ANSWER_S.

    Once in a few tries is enough: the machine that runs the tests may be busy.
    """
    for _ in range(TRIES):
        began = time.monotonic()
        with contextlib.suppress(OSError):
            status, took_s = ask(ANSWER_S), time.monotonic() - began
            log.info("Answered with %d in %.3f s", status, took_s)
            if status == 200 and took_s <= ANSWER_S:
                return True
    return False
