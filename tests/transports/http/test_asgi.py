"""The event loop in front of Django: bodies, threads, deferred and long responses."""

import errno
import io
import json
import tempfile
import threading
from concurrent.futures import Future
from contextlib import ExitStack

import pytest
from django.http import HttpResponse

from core.deferred import ACCEPTED, Deferred
from tests.support.asgi_server import AsgiServer, read_all
from tests.support.processes import wait_for
from transports.http import asgi
from transports.http.request_body import MAX_BYTES


class Answer(list):
    """What a WSGI application returns."""

    def close(self):
        pass


def echo(environ, start_response):
    """Answer with the length of the body, and the environ's variables that came from headers."""
    length = len(environ["wsgi.input"].read())
    passed = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_", "PATH_", "REMOTE_"))}
    start_response("200 OK", [("Content-Type", "application/json")])
    return Answer([json.dumps({"length": length, **passed}).encode()])


def post(path="/", body=b"", *, headers=()):
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Connection: close", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def parsed(answer):
    """Return status, headers in lower case, and body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split(" ")[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


@pytest.fixture(autouse=True)
def _group_commit_ends():
    """There is no database here."""


@pytest.fixture
def server():
    with AsgiServer(echo) as started:
        yield started


@pytest.mark.parametrize(
    ("request_bytes", "thread"),
    [
        (post("/on-loop", b"x" * asgi.MAX_BYTES_ON_LOOP), "loop"),
        (post("/on-loop", b"x" * (asgi.MAX_BYTES_ON_LOOP + 1)), "worker"),
        (b"GET /on-loop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "worker"),
        (post("/on-loop/", b"x"), "worker"),
    ],
)
def test_only_a_small_post_to_a_path_that_never_blocks_takes_no_thread(request_bytes, thread):
    def name_thread(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Answer([b"worker" if threading.current_thread().name.startswith("worker-") else b"loop"])

    with AsgiServer(name_thread) as server:
        status, _, body = parsed(server.ask(request_bytes))

    assert (status, unchunked(body)) == (200, thread.encode())


def unchunked(body):
    """Return the content of a chunked body that is one chunk."""
    return body.split(b"\r\n")[1]


def test_environ_has_what_the_client_sent(server):
    headers = [
        "Content-Type: text/x",
        "Idempotency-Key: k",
        "Cookie: a=1",
        "Cookie: b=2",
        "X-Forwarded-For: 1",
        "X-Forwarded-For: 2",
    ]
    _, _, body = parsed(server.ask(post("/a%2Fb%FF", b"12345", headers=headers)))
    assert json.loads(unchunked(body)) == {
        "length": 5,
        "CONTENT_LENGTH": "5",
        "CONTENT_TYPE": "text/x",
        "HTTP_HOST": "a",
        "HTTP_CONNECTION": "close",
        "HTTP_IDEMPOTENCY_KEY": "k",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_FORWARDED_FOR": "1,2",
        "PATH_INFO": "/a/b\xff",
        "REMOTE_ADDR": "127.0.0.1",
    }


def test_header_with_an_underscore_cannot_pose_as_another(server):
    _, _, body = parsed(server.ask(post(headers=["X_Forwarded_For: 6.6.6.6"])))
    assert "HTTP_X_FORWARDED_FOR" not in json.loads(unchunked(body))


def test_chunked_body_is_read_whole(server):
    request = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    assert json.loads(unchunked(parsed(server.ask(request))[2]))["length"] == 7


@pytest.mark.parametrize("path", ["/", "/api/v1/provision"])
def test_body_too_large_is_refused_to_a_client_that_sends_it_whole_first(server, path):
    status, headers, body = parsed(server.ask(post(path, b"x" * (3 * MAX_BYTES))))
    assert status == 413
    assert headers["content-type"] == ("application/json" if path.startswith("/api/") else "text/plain")
    assert b"too large" in body


def test_after_a_body_too_large_the_connection_goes_on():
    with AsgiServer(echo) as server, server.connect() as client:
        body = b"x" * (2 * MAX_BYTES)
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body + post(body=b"12"))
        answers = read_all(client)
    assert answers.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 200 OK" in answers


def test_upload_may_be_larger_up_to_its_own_limit(server):
    assert json.loads(unchunked(parsed(server.ask(post("/upload", b"x" * (3 * MAX_BYTES))))[2]))["length"] == 3 * MAX_BYTES
    assert parsed(server.ask(post("/upload", b"x" * (5 * MAX_BYTES))))[0] == 413


def test_upload_that_the_disk_has_no_room_for_gets_507(server, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    status, _, body = parsed(server.ask(post("/upload", b"x" * 1000)))
    assert (status, body) == (507, b"The server cannot store the upload: No space left on device.\n")


def test_uploads_at_the_same_time_are_bounded(server):
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(server.connect()) for _ in range(asgi.MAX_UPLOADS + 1)]
        for client in clients:
            client.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")
        wait_for(lambda: any(answered(client) for client in clients), "a refusal")
        (refused,) = [client for client in clients if answered(client)]
        assert refused.recv(10_000).startswith(b"HTTP/1.1 503 ")
        # Others are served meanwhile, and the uploads afterwards.
        assert parsed(server.ask(post()))[0] == 200
        for client in clients:
            if client is not refused:
                client.sendall(b"56789")
                assert client.recv(10_000).startswith(b"HTTP/1.1 200 OK")


def answered(client):
    import select

    return bool(select.select([client], [], [], 0)[0])


def test_request_beyond_those_that_may_wait_for_a_thread_gets_503():
    release, begun = threading.Event(), threading.Event()

    def handler(environ, start_response):
        begun.set()
        release.wait(30)
        return echo(environ, start_response)

    with AsgiServer(handler, threads=1, max_waiting=1) as server, server.connect() as client:
        client.sendall(post())
        assert begun.wait(30)
        status, headers, body = parsed(server.ask(post("/api/v1/provision")))
        release.set()
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(body)["status"] == "FAILURE"
        assert b"200 OK" in read_all(client)


def test_client_that_asks_very_often_waits_for_itself_only(monkeypatch):
    monkeypatch.setattr(asgi, "TURNS_PER_SOURCE", 2)
    monkeypatch.setattr(asgi, "MAX_WAITING_PER_SOURCE", 5)
    release, begun = threading.Event(), []

    def handler(environ, start_response):
        begun.append(environ["REMOTE_ADDR"])
        if environ["REMOTE_ADDR"] == "127.0.0.66":
            release.wait(30)
        return echo(environ, start_response)

    with AsgiServer(handler, threads=3, max_waiting=4) as server, ExitStack() as open_ones:
        often = [open_ones.enter_context(server.connect("127.0.0.66")) for _ in range(8)]
        for client in often:
            client.sendall(post())
        # Two have a thread, five wait, and which of them is the eighth nobody knows.
        wait_for(lambda: sum(map(answered, often)) == 1 and len(begun) == 2, "all eight")
        assert parsed(server.ask(post()))[0] == 200
        release.set()
        assert sorted(parsed(read_all(client))[0] for client in often) == [200] * 7 + [503]


def test_deferred_responses_hold_no_thread():
    futures = []

    def handler(environ, start_response):
        assert environ[ACCEPTED]
        if environ["PATH_INFO"] != "/wait":
            return echo(environ, start_response)
        start_response("200 OK", [("X-Frame-Options", "DENY"), ("Content-Type", "text/html"), ("Content-Length", "0")])
        futures.append(Future())
        return Deferred(futures[-1], lambda text: HttpResponse(text, status=408, content_type="text/plain"))

    with AsgiServer(handler, threads=1) as server, ExitStack() as open_ones:
        clients = [open_ones.enter_context(server.connect()) for _ in range(5)]
        for client in clients:
            client.sendall(post("/wait"))
        wait_for(lambda: len(futures) == 5, "five that wait")
        assert parsed(server.ask(post()))[0] == 200
        for future in futures:
            future.set_result("later")
        for client in clients:
            status, headers, body = parsed(read_all(client))
            assert (status, body, headers["content-length"], headers["content-type"]) == (408, b"later", "5", "text/plain")
            assert headers["x-frame-options"] == "DENY"


def test_failed_handler_is_a_500_and_the_next_request_is_served():
    def handler(environ, start_response):
        if environ["PATH_INFO"] == "/fail":
            raise ValueError("a secret")
        return echo(environ, start_response)

    with AsgiServer(handler) as server:
        answer = server.ask(post("/fail"))
        assert parsed(answer)[0] == 500
        assert b"secret" not in answer
        assert parsed(server.ask(post()))[0] == 200


def test_long_response_is_sent_as_it_is_made_and_whole():
    part = bytes(range(256)) * 1024

    def handler(_environ, start_response):
        start_response("200 OK", [("Content-Length", str(40 * len(part)))])
        return Answer([part] * 40)

    with AsgiServer(handler) as server:
        assert parsed(server.ask(post()))[2] == part * 40


def test_client_that_leaves_a_long_response_gives_its_thread_back():
    closed = threading.Semaphore(0)

    class Endless:
        def __iter__(self):
            while True:
                yield b"x" * 100_000

        def close(self):
            closed.release()

    def handler(environ, start_response):
        if environ["PATH_INFO"] != "/endless":
            return echo(environ, start_response)
        start_response("200 OK", [])
        return Endless()

    with AsgiServer(handler, threads=1) as server:
        for _ in range(asgi.MAX_LONG_RESPONSES + 1):
            with server.connect() as client:
                client.sendall(post("/endless"))
                assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
            assert closed.acquire(timeout=30)
        assert parsed(server.ask(post()))[0] == 200
