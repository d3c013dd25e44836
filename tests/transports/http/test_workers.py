"""The processes of the web server: how they end, and what happens when one of them does."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from tests.support.asgi_server import read_all
from tests.support.processes import Server, free_port, listens, wait_for
from tests.support.web import ROOT, Web

# Beyond GRACE_S and KILL_AFTER_S of the server.
STOP_S = 10.0
TOKEN = "a-token-of-thirty-characters-x"


@pytest.fixture(autouse=True)
def _group_commit_ends():
    """The database is the server's."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    made = Web(tmp_path_factory.mktemp("web"), workers=2, METRICS_TOKEN=TOKEN)
    made.server.stop()
    return made


@pytest.fixture
def web(installed):
    installed.start()
    yield installed
    installed.server.kill()


def workers(web):
    return psutil.Process(web.server.process.pid).children()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_whatever_its_clients_do(web, number):
    clients = [socket.create_connection(("127.0.0.1", web.port), timeout=30) for _ in range(4)]
    clients[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert clients[0].recv(1000).startswith(b"HTTP/1.1 200")
    clients[1].sendall(b"GET /heal")
    clients[2].sendall(b"POST /api/v1/provision HTTP/1.1\r\nContent-Length: 9\r\n\r\n1")
    processes = workers(web)

    began = time.monotonic()
    os.killpg(web.server.process.pid, number)  # as a terminal does, or systemd
    web.server.process.wait(STOP_S)

    assert time.monotonic() - began < STOP_S
    assert not any(process.is_running() for process in processes)
    for client in clients:
        read_all(client)
        client.close()
    assert "Traceback" not in web.server.output()


def test_worker_that_died_is_replaced_alone(web):
    victim, survivor = workers(web)
    victim.kill()
    wait_for(lambda: len(workers(web)) == 2 and victim not in workers(web), "a new worker")
    assert survivor in workers(web)
    assert web.request("/healthz").status == 200
    assert f"Web worker {victim.pid} ended with code -9 and is started again" in web.server.output()


def test_workers_end_when_their_parent_is_killed(web):
    processes = workers(web)
    web.server.process.kill()
    wait_for(lambda: not any(process.is_running() for process in processes), "the end of the workers")
    assert not listens(web.port)


def test_port_in_use_is_named_in_one_sentence(web):
    command = [sys.executable, "manage.py", "http_server"]
    done = subprocess.run(command, env=web.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith(f"CommandError: Port {web.port} is in use; choose another one with HTTP_PORT")


def test_second_server_with_the_same_folder_of_metrics_serves_and_says_so(web):
    port = free_port()
    server = Server(
        [sys.executable, "manage.py", "http_server"],
        web.server.log.with_name("second.log"),
        env=web.environment | {"HTTP_PORT": str(port)},
        cwd=ROOT,
    )
    try:
        wait_for(lambda: listens(port), "the second server")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert b"firstlight_reply_seconds" in answer.read()
        assert "Metrics cannot be kept" in server.output()
    finally:
        server.stop()


def test_disk_full_does_not_keep_it_from_serving(installed):
    # No file may have more bytes: for the metrics this is what a full disk is.
    installed.start("prlimit", "--fsize=500000")
    try:
        processes = workers(installed)
        for _ in range(3):
            assert installed.request("/admin/login/").status == 200
            assert installed.request("/api/v1/provision", b"{}").status == 400
            assert installed.request("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
        assert "Metrics cannot be kept" in installed.server.output()
        assert workers(installed) == processes
    finally:
        installed.server.stop()
