"""deploy/nginx/firstlight.conf, run by nginx with only names, ports and files replaced, in front of a web server."""

import json

import pytest

from tests.support.nginx import Nginx
from tests.support.processes import free_port
from tests.support.web import Web, create_profile, manage


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    started = Web(tmp_path_factory.mktemp("web"), TRUSTED_PROXIES="1", METRICS_TOKEN="a-token-of-thirty-characters-x")
    yield started
    started.server.stop()


@pytest.fixture(scope="module")
def profile(web):
    return create_profile(web.environment, "proxied sensors")


@pytest.fixture
def nginx(tmp_path, web):
    # The second server is not there, as while it is restarted.
    started = Nginx(tmp_path, web.port, free_port())
    yield started
    started.server.stop()


def asking(profile, name):
    return json.dumps({"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"], "deviceName": name})


def addresses(web):
    code = "from provisioning.models import ProvisionAttempt as A; print(*A.objects.values_list('address', flat=True))"
    return set(manage(web.environment, "shell", "-v", "0", "-c", code).split())


def test_forged_forwarded_addresses_have_no_effect(nginx, web, profile):
    for number, forged in enumerate(("6.6.6.6", "6.6.6.6, 7.7.7.7", "127.0.0.9,", "")):
        status, _, body = nginx.request("POST", "/api/v1/provision", asking(profile, f"p{number}"), {"X-Forwarded-For": forged})
        assert (status, json.loads(body)["status"]) == (200, "SUCCESS")
    assert addresses(web) == {"127.0.0.1"}


def test_access_log_has_no_token_and_the_request_id(nginx, profile):
    _, headers, body = nginx.request("POST", "/api/v1/provision", asking(profile, "logged"))
    token = json.loads(body)["credentialsValue"]
    assert nginx.request("POST", f"/api/v1/{token}/telemetry", '{"t": 1}')[0] == 200
    nginx.server.stop()
    logged = "".join(path.read_text() for path in nginx.folder.glob("*log"))
    lines = [json.loads(line) for line in (nginx.folder / "firstlight.log").read_text().splitlines()]
    assert [line["path"] for line in lines] == ["/api/v1/…"] * 2
    assert lines[0]["request_id"] == headers["X-Request-ID"]
    assert token not in logged


def test_metrics_are_not_reached_through_the_proxy(nginx):
    status, _, _ = nginx.request("GET", "/metrics", headers={"Authorization": "Bearer a-token-of-thirty-characters-x"})
    assert status == 404


@pytest.mark.parametrize("size", [70_000, 2_000_000])
def test_body_too_large_is_refused_in_json(nginx, size):
    status, headers, body = nginx.request("POST", "/api/v1/provision", b"x" * size)
    assert (status, headers["Content-Type"]) == (413, "application/json")
    assert json.loads(body)["status"] == "FAILURE"


def test_while_no_web_server_is_there_devices_get_json_and_when_to_come_again(tmp_path):
    nginx = Nginx(tmp_path, free_port(), free_port())
    try:
        status, headers, body = nginx.request("POST", "/api/v1/provision", b"{}")
    finally:
        nginx.server.stop()
    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "5", "application/json")
    assert json.loads(body)["provisionDeviceStatus"] == "FAILURE"
