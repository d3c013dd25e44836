"""What an attacker does with plain sockets, and whether others are served meanwhile."""

import contextlib
import logging
import resource
import socket
import ssl
import subprocess
import sys
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


@contextlib.contextmanager
def repeated_requests(port: int, count: int, request: bytes, source: str) -> Iterator[None]:
    """Send `request` on `count` connections from `source`, and again after each answer, from another process."""
    code = (
        "import selectors, socket, sys\n"
        "port, count, source, request = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], bytes.fromhex(sys.argv[4])\n"
        "ready = selectors.DefaultSelector()\n"
        "def start():\n"
        "    one = socket.create_connection(('127.0.0.1', port), 30, (source, 0))\n"
        "    one.sendall(request)\n"
        "    ready.register(one, selectors.EVENT_READ)\n"
        "for _ in range(count): start()\n"
        "print('all', flush=True)\n"
        "while True:\n"
        "    for key, _ in ready.select():\n"
        "        try:\n"
        "            assert key.fileobj.recv(1_000_000)\n"
        "            key.fileobj.sendall(request)\n"
        "        except (OSError, AssertionError):\n"
        "            ready.unregister(key.fileobj)\n"
        "            key.fileobj.close()\n"
        "            start()\n"
    )
    command = [sys.executable, "-c", code, str(port), str(count), source, request.hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attacker:
        try:
            assert attacker.stdout
            assert attacker.stdout.readline() == "all\n"
            yield
        finally:
            attacker.kill()


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
