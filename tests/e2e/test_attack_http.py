"""One client against the web server, from the address of everyone else: honest requests are served all the same.

`make attack` runs the heavier forms, which are marked soak.
"""

import json
import urllib.error
import urllib.request

import pytest

from tests.support.attack import open_connections, repeated_requests, served_in_time
from tests.support.nginx import Nginx
from tests.support.web import Web, create_profile

ENDLESS_BODY = (
    b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\na="
)
ENDLESS = {
    "provision bodies": ENDLESS_BODY % b"/api/v1/provision",
    "login bodies": ENDLESS_BODY % b"/admin/login/",
    "uploads": ENDLESS_BODY % b"/api/imports/",
    "chunks": b"POST /api/v1/provision HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    "headers": b"GET /admin/login/ HTTP/1.1\r\nHost: localhost\r\nX-A: ",
    "nothing": b"",
}


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    started = Web(tmp_path_factory.mktemp("web"), workers=2)
    yield started
    started.server.stop()


@pytest.fixture(scope="module")
def profile(web):
    return create_profile(web.environment, "attacked sensors")


def provision_body(profile):
    return json.dumps({"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}).encode()


def assert_served(web, profile):
    def ask(path, body=None):
        def one(timeout_s):
            with urllib.request.urlopen(f"http://127.0.0.1:{web.port}{path}", body, timeout=timeout_s) as answer:
                return answer.status

        return one

    assert served_in_time(ask("/api/v1/provision", provision_body(profile)))
    assert served_in_time(ask("/admin/login/"))


@pytest.mark.parametrize("kind", ENDLESS)
def test_requests_that_never_end_keep_no_other_out(web, profile, kind):
    with open_connections(web.port, 150, ENDLESS[kind]):
        assert_served(web, profile)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ENDLESS)
def test_thousands_of_requests_that_never_end_keep_no_other_out(web, profile, kind):
    with open_connections(web.port, 5_000, ENDLESS[kind]):
        for _ in range(5):
            assert_served(web, profile)


def test_more_connections_than_files_keep_no_other_out(web, profile):
    with open_connections(web.port, 1_100, b""):
        assert_served(web, profile)


@pytest.mark.soak
@pytest.mark.parametrize(
    "request_line", [b"GET /admin/login/", b"POST /api/v1/no-such-token/telemetry"], ids=["login pages", "wrong tokens"]
)
def test_requests_without_pause_from_one_address_keep_no_other_out(web, profile, request_line):
    request = request_line + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    with repeated_requests(web.port, 1_000, request, "127.0.0.66"):
        for _ in range(5):
            assert_served(web, profile)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    started = Web(tmp_path_factory.mktemp("proxied"), workers=2, TRUSTED_PROXIES="1")
    yield started
    started.server.stop()


@pytest.fixture
def nginx(tmp_path, proxied):
    started = Nginx(tmp_path, proxied.port, proxied.port)
    yield started
    started.server.stop()


@pytest.mark.parametrize("kind", ["provision bodies", "login bodies", "uploads"])
def test_behind_nginx_bodies_that_never_end_keep_no_other_out(nginx, proxied, kind):
    body = provision_body(create_profile(proxied.environment, f"sensors behind nginx, {kind}"))
    with open_connections(nginx.port, 150, ENDLESS[kind], tls=nginx.tls()):
        assert served_in_time(lambda timeout_s: nginx.request("POST", "/api/v1/provision", body, timeout_s=timeout_s)[0])
        assert served_in_time(lambda timeout_s: nginx.request("GET", "/admin/login/", timeout_s=timeout_s)[0])


@pytest.mark.parametrize("tls", [True, False], ids=["silent", "no handshake"])
def test_behind_nginx_more_connections_than_files_keep_no_other_out(nginx, proxied, tls):
    body = provision_body(create_profile(proxied.environment, f"sensors beside idle connections, {tls}"))
    with open_connections(nginx.port, 1_100, b"", tls=nginx.tls() if tls else None):
        assert served_in_time(lambda timeout_s: nginx.request("POST", "/api/v1/provision", body, timeout_s=timeout_s)[0])
        assert served_in_time(lambda timeout_s: nginx.request("GET", "/admin/login/", timeout_s=timeout_s)[0])


def test_behind_nginx_a_dead_token_with_a_large_body_breaks_no_other_request(nginx, proxied):
    body = provision_body(create_profile(proxied.environment, "sensors beside dead tokens"))
    for _ in range(30):
        assert nginx.request("POST", "/api/v1/no-such-token/telemetry", b"x" * 30_000)[0] in (401, 429)
        assert nginx.request("POST", "/api/v1/provision", body)[0] == 200
