"""Connections to the web server, and how long a client may hold one without using it.

uvicorn waits without limit for the rest of a request. Here the whole request, from its first byte to its last, must arrive
within REQUEST_S plus the time that its bytes take at MIN_BYTES_PER_S, before any thread works on it; a client that does not
read its answer is dropped in the same way. Where too many connections are open, the one that has been silent longest makes
room, so a client that only holds connections open takes them from itself.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from core.networks import source_of

REQUEST_S = 20.0
MIN_BYTES_PER_S = 8 * 1024
# Longer than the proxy in front keeps its connections (deploy/nginx), so that it never uses one that we are closing.
IDLE_S = 60.0
# The request line and all headers.
MAX_HEADER_BYTES = 32 * 1024
# Requests that a client may send before the answer to its first. uvicorn queues any number, and reads on after each answer.
MAX_PIPELINED = 16
CHECK_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections of one process may wait for their client at the same time. `per_source` None: no such limit."""

    total: int
    per_source: int | None


class TooManyPipelined(Exception):
    """A client sends requests and does not wait for answers."""


class SilentConnections:
    """The connections whose client has to send or to read something, the one that has waited longest first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._all: dict[Connection, None] = {}
        self._by_source: dict[str, dict[Connection, None]] = {}
        self._check_handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: "Connection") -> None:
        """Take `connection` in as the newest. Closes the oldest one of its source, or of all, where there are too many."""
        self._all[connection] = None
        neighbours = self._by_source.setdefault(connection.source, {})
        neighbours[connection] = None
        if self._limits.per_source is not None and len(neighbours) > self._limits.per_source:
            self._drop(next(iter(neighbours)))
        elif len(self._all) > self._limits.total:
            self._drop(next(iter(self._all)))
        if self._check_handle is None:
            self._schedule_check(connection.loop)

    def remove(self, connection: "Connection") -> None:
        """Forget `connection`, if it is here: its request is complete, or it is closed."""
        if connection not in self._all:
            return
        del self._all[connection]
        neighbours = self._by_source[connection.source]
        del neighbours[connection]
        if not neighbours:
            del self._by_source[connection.source]

    def _drop(self, connection: "Connection") -> None:
        self.remove(connection)
        connection.transport.abort()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in [one for one in self._all if one.is_overdue(now)]:
            self._drop(connection)
        self._check_handle = None
        if self._all:
            self._schedule_check(loop)

    def _schedule_check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._check_handle = loop.call_later(CHECK_INTERVAL_S, self._check, loop)


class Connection(HttpToolsProtocol):
    """One connection. It is among the silent ones except while we work on a complete request of its client."""

    def __init__(self, silent: SilentConnections, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.source = ""
        self._silent = silent
        self._clients_turn = True
        self._since = 0.0
        # About the request that is arriving: whether there is one, whether in its headers, and its bytes so far.
        self._receiving = self._in_headers = False
        self._received = 0
        self._unsent = 0
        self._lost = False

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has had its time to send, or to read what we sent."""
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._since = now  # it is reading
        self._unsent = unsent
        if self._receiving or unsent:
            return now - self._since > REQUEST_S + self._received / MIN_BYTES_PER_S
        return now - self._since > IDLE_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self.source = source_of(self.client[0] if self.client else "")
        self._take_turn(clients=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._silent.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._received += len(data)
        if self._in_headers and self._received > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Note that a request begins. Raises TooManyPipelined, which ends the parsing of what was received."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.abort()
            raise TooManyPipelined
        super().on_message_begin()
        self._receiving = self._in_headers = True
        self._received = 0
        self._since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._receiving = False
        # It may have been answered before it was complete: a body that is too large.
        self._take_turn(clients=self.cycle.response_complete)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # With pipelining, the next request may be complete already.
        self._take_turn(clients=self.cycle.response_complete or self.cycle.more_body)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._take_turn(clients=self._clients_turn)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._take_turn(clients=self._clients_turn)

    def timeout_keep_alive_handler(self) -> None:
        """Do nothing: an idle connection is among the silent ones."""

    def _take_turn(self, *, clients: bool) -> None:
        self._clients_turn = clients
        self._silent.remove(self)
        # Also a connection that is being closed, until its client has read the rest.
        if (clients or self.flow.write_paused) and not self._lost:
            self._since = self.loop.time()
            self._silent.add(self)

    def _refuse(self, status: HTTPStatus) -> None:
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()
