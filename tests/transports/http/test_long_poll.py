"""GET /api/v1/{token}/attributes/updates: waiting for shared attributes to change."""

import json
import select
import socket
from contextlib import ExitStack

import pytest

from tests.support.asgi_server import read_all
from tests.support.processes import wait_for
from tests.support.web import Web, create_profile, manage

SET = """
from devices.models import Device
from devices.services import shared_attributes_set
shared_attributes_set(device=Device.objects.get(name={name!r}), values={{"interval": 30, "mode": {{"a": [1]}}}})
"""


@pytest.fixture(autouse=True)
def _group_commit_ends():
    """The database is the server's."""


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    # One thread: a waiting device must not hold it.
    started = Web(tmp_path_factory.mktemp("web"), HTTP_THREADS="1")
    yield started
    started.server.stop()


@pytest.fixture(scope="module")
def profile(web):
    return create_profile(web.environment, "waiting sensors")


def registered(web, profile, name):
    """Return the token of a new device."""
    shown = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}
    return json.loads(web.provision(**shown, deviceName=name).body)["credentialsValue"]


def is_answered(waiting, within_s=0.0):
    return bool(select.select([waiting], [], [], within_s)[0])


def begin(web, token, query="?timeout=60000"):
    """Return a connection on which a device waits."""
    waiting = socket.create_connection(("127.0.0.1", web.port), timeout=60)
    request = f"GET /api/v1/{token}/attributes/updates{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    waiting.sendall(request.encode())
    return waiting


def answer(waiting):
    """Return status and body."""
    with waiting:
        head, _, body = read_all(waiting).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def test_changes_reach_the_devices_that_wait_and_hold_no_thread(web, profile):
    names = [f"waiting-{number}" for number in range(5)]
    tokens = {name: registered(web, profile, name) for name in names}
    with ExitStack() as open_ones:
        waiting = {name: open_ones.enter_context(begin(web, token)) for name, token in tokens.items()}
        # With its only thread the server answers others.
        assert web.request("/healthz").status == 200

        def changed():
            # Again, should the wait have begun later than the change.
            manage(web.environment, "shell", "-v", "0", "-c", SET.format(name=names[0]))
            return is_answered(waiting[names[0]], within_s=10)

        wait_for(changed, "the change", timeout_s=120)
        status, body = answer(waiting[names[0]])
        assert (status, json.loads(body)) == (200, {"interval": 30, "mode": {"a": [1]}})
        assert not any(is_answered(waiting[name]) for name in names[1:])


def test_without_a_change_it_is_408(web, profile):
    token = registered(web, profile, "patient")
    assert answer(begin(web, token, "?timeout=1")) == (408, b"")


def test_second_wait_of_a_device_ends_the_first(web, profile):
    token = registered(web, profile, "impatient")
    with begin(web, token) as first:
        assert answer(begin(web, token, "?timeout=1"))[0] == 408
        assert answer(first)[0] == 408


def test_wrong_token_and_wrong_timeout_are_refused_at_once(web, profile):
    assert answer(begin(web, "no-such-token-anywhere"))[0] == 401
    token = registered(web, profile, "confused")
    status, body = answer(begin(web, token, "?timeout=soon"))
    assert (status, json.loads(body)["status"]) == (400, "FAILURE")


def test_stopping_the_server_answers_those_that_wait(tmp_path):
    web = Web(tmp_path)
    token = registered(web, create_profile(web.environment, "sensors"), "left alone")
    with begin(web, token) as waiting:
        # The next request of the connection's only thread comes after the wait has begun.
        assert web.request("/healthz").status == 200
        web.server.stop()
        assert answer(waiting)[0] in (408, 503)
