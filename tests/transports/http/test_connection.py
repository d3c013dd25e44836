"""How long a client may hold a connection that it does not use."""

import threading
from contextlib import ExitStack

import pytest

from tests.support.asgi_server import AsgiServer, read_all
from tests.support.processes import wait_for
from transports.http import connection
from transports.http.connection import ConnectionLimits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING_GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def hello(_environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return Answer([b"hello"])


class Answer(list):
    def close(self):
        pass


@pytest.fixture(autouse=True)
def _group_commit_ends():
    """There is no database here."""


@pytest.fixture
def impatient(monkeypatch):
    """A server that does not wait."""
    monkeypatch.setattr(connection, "REQUEST_S", 0.2)
    monkeypatch.setattr(connection, "IDLE_S", 0.2)
    monkeypatch.setattr(connection, "CHECK_INTERVAL_S", 0.05)
    with AsgiServer(hello) as server:
        yield server


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HT", id="half a line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n", id="no end of headers"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n1234", id="half a body"),
        pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n", id="chunks without end"),
    ],
)
def test_request_that_never_ends_is_dropped_unanswered(impatient, beginning):
    with impatient.connect() as client:
        client.sendall(beginning)
        assert read_all(client) == b""
    wait_for(lambda: len(impatient.silent) == 0, "no connection")


def test_idle_connection_is_closed_after_its_answer(impatient):
    with impatient.connect() as client:
        client.sendall(GET)
        assert read_all(client).endswith(b"hello")


def test_bytes_that_keep_coming_too_slowly_do_not_help(impatient):
    with impatient.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
        client.settimeout(0.05)
        answer = None

        def dropped():
            nonlocal answer
            try:
                client.sendall(b"x")
                answer = client.recv(1)
            except TimeoutError:
                return False
            except ConnectionError:
                answer = b""
            return True

        wait_for(dropped, "the end of the connection")
        assert answer == b""


def test_long_body_has_the_time_that_its_bytes_take():
    with AsgiServer(hello) as server, server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"x" * 100_000)
        wait_for(lambda: any(one._received > 100_000 for one in server.silent._all), "the first part")
        (one,) = server.silent._all
        since = one._since
        assert not one.is_overdue(since + connection.REQUEST_S + 100_000 / connection.MIN_BYTES_PER_S - 1)
        assert one.is_overdue(since + connection.REQUEST_S + 100_000 / connection.MIN_BYTES_PER_S + 1)
        client.sendall(b"x" * 800_000)
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_client_that_does_not_read_is_dropped(monkeypatch):
    monkeypatch.setattr(connection, "REQUEST_S", 0.2)
    monkeypatch.setattr(connection, "CHECK_INTERVAL_S", 0.05)
    long = b"x" * 900_000

    def handler(_environ, start_response):
        start_response("200 OK", [("Content-Length", str(10 * len(long)))])
        return Answer([long] * 10)

    with AsgiServer(handler) as server, server.connect() as client:
        client.sendall(GET)
        wait_for(lambda: len(server.silent) == 1, "an answer that is not read")
        wait_for(lambda: len(server.silent) == 0, "the end of the connection")
        assert len(read_all(client)) < 10 * len(long)


def test_headers_without_end_are_refused():
    with AsgiServer(hello) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + b"A: " + b"a" * connection.MAX_HEADER_BYTES)
        assert read_all(client).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("limits", [ConnectionLimits(total=100, per_source=3), ConnectionLimits(total=3, per_source=None)])
def test_silent_connections_make_room_for_new_ones(limits):
    with AsgiServer(hello, limits=limits) as server, ExitStack() as open_ones:
        clients = []
        for number in range(6):
            clients.append(open_ones.enter_context(server.connect()))
            # One after the other, else their order is not known.
            wait_for(lambda number=number: len(server.silent) == min(number + 1, 3), "the connection")
        clients[-1].sendall(GET)
        assert b"hello" in clients[-1].recv(10_000)
        assert [read_all(client) for client in clients[:2]] == [b"", b""]
        clients[4].sendall(CLOSING_GET)
        assert b"hello" in read_all(clients[4])


def test_client_that_sends_requests_without_end_before_the_first_answer_is_dropped():
    release = threading.Event()

    def handler(environ, start_response):
        release.wait(30)
        return hello(environ, start_response)

    with AsgiServer(handler) as server, server.connect() as client:
        client.sendall(GET * 100)
        assert read_all(client) == b""
        release.set()
        assert server.ask(CLOSING_GET).endswith(b"hello")


def test_pipelined_requests_are_all_answered_and_then_the_connection_is_idle():
    with AsgiServer(hello) as server, server.connect() as client:
        client.sendall(GET * 3)
        answers = b""
        while answers.count(b"hello") < 3:
            answers += client.recv(10_000)
        wait_for(lambda: len(server.silent) == 1, "the idle connection")
        client.sendall(CLOSING_GET)
        assert b"hello" in read_all(client)
        wait_for(lambda: len(server.silent) == 0, "no connection")
