"""The virtual device, with the server unavailable, and what is masked. With a server: tests/e2e/browser/test_operations.py."""

import json
import socket

import pytest

from console.addresses import Addresses
from console.profiles.try_it import MASK, masked, play
from provisioning.choices import Transport
from tests.support.processes import free_port


@pytest.mark.parametrize(
    "credentials",
    [
        {"credentialsValue": "s3cret", "accessToken": "s3cret"},
        {"credentialsValue": 'x"s3cret', "accessToken": 'x\\"s3cret'},
        {"credentialsValue": {"clientId": "c", "userName": "u", "password": '}"s3cret'}},
    ],
)
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_issued_credentials_are_masked(credentials, separators):
    reply = json.dumps({"status": "SUCCESS", "deviceName": "a"} | credentials, separators=separators)

    shown = masked(reply, [])

    assert "s3cret" not in shown
    assert MASK in shown
    assert json.loads(shown)["status"] == "SUCCESS"


def test_key_and_secret_are_masked_wherever_they_stand():
    assert masked("POST secret-1 and key-1", ["secret-1", "key-1"]) == f"POST {MASK} and {MASK}"


@pytest.mark.parametrize("transport", list(Transport))
def test_unavailable_server_is_reported_with_the_request(transport):
    at = Addresses(
        http_url=f"http://127.0.0.1:{free_port()}",
        mqtt_host="127.0.0.1",
        mqtt_port=free_port(),
        mqtt_tls=False,
        request_topic="/provision/request",
        response_topic="/provision/response",
        coap_host="127.0.0.1",
        coap_port=free_port(socket.SOCK_DGRAM),
    )

    played = play(transport, {"deviceName": "tried"}, at, http_host="127.0.0.1")

    assert played.problem.startswith("No reply: ")
    assert "tried" in played.sent
    assert played.got == ""
