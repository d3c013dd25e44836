"""POST /api/v1/{token}/telemetry and /attributes over CoAP: docs/protocol.md, *With the credentials afterwards*."""

import json

import pytest
from aiocoap import GET, Code
from aiocoap.numbers import ContentFormat

from tests.transports.coap.service import request

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def token(service, profile):
    """The access token of the device "meter", with a slash in it."""
    fields = {"deviceName": "meter", "token": "chosen/by-the-device"}
    output, _ = service.coap_client(payload=json.dumps(profile | fields).encode())
    assert "2.01" in output
    return "chosen/by-the-device"


def telemetry_of(service, key):
    return service.rows(f"SELECT value FROM devices_latesttelemetry WHERE key = '{key}'")


def test_telemetry_answers_2_01_and_is_kept(service, peer, token):
    answer = peer.ask(request({"temperature": 21.5, "nothing": None}, ("api", "v1", token, "telemetry"), mid=1))

    assert (answer.code, answer.payload) == (Code.CREATED, b"")
    assert telemetry_of(service, "temperature") == ["21.5"]
    assert telemetry_of(service, "nothing") == []


def test_token_whose_slash_parts_the_path_is_found(service, peer, token):
    answer = peer.ask(request({"parted": 1}, ("api", "v1", *token.split("/"), "telemetry"), mid=2))

    assert answer.code == Code.CREATED
    assert telemetry_of(service, "parted") == ["1"]


def test_attributes_with_coap_client_are_set_in_scope_client(service, token):
    output, payload = service.coap_client(path="/api/v1/chosen%2Fby-the-device/attributes", payload=b'{"firmware": "1.2"}')

    assert "2.01" in output
    assert payload == b""
    assert service.rows("SELECT scope, value FROM devices_deviceattribute WHERE key = 'firmware'") == ['CLIENT_SCOPE|"1.2"']


def test_unknown_token_answers_4_01(peer):
    assert peer.ask(request({"a": 1}, ("api", "v1", "nobody", "telemetry"), mid=3)).code == Code.UNAUTHORIZED
    assert peer.ask(request({"a": 1}, ("api", "v1", "", "attributes"), mid=4)).code == Code.UNAUTHORIZED
    assert peer.ask(request({"a": 1}, ("api", "v1", "nul\0", "attributes"), mid=5)).code == Code.UNAUTHORIZED


@pytest.mark.parametrize(
    "body", [b"{nonsense", b"7", b'{"ts": true, "values": {"a": 1}}', b"\x08\x01\x12\x04", b'{"a": "\\u0000"}', b"[" * 3000]
)
def test_bad_data_answers_4_00_with_diagnostic_text(service, peer, token, body):
    answer = peer.ask(request(body, ("api", "v1", token, "telemetry"), mid=6))

    assert (answer.code, answer.opt.content_format) == (Code.BAD_REQUEST, None)
    assert answer.payload.decode().endswith(".")
    assert telemetry_of(service, "a") == []


def test_body_over_64_kib_answers_4_13(peer, token):
    path = ("api", "v1", token, "telemetry")
    answer = peer.ask(request(b"x" * 1024, path, mid=7, block1=(0, True, 6), size1=65_537))

    assert (answer.code, answer.opt.size1) == (Code.REQUEST_ENTITY_TOO_LARGE, 65_536)


def test_telemetry_in_blocks_is_kept(service, token):
    long = {f"key-{number}": "x" * 100 for number in range(100)}

    output, _ = service.coap_client(
        "-b", "256", path="/api/v1/chosen%2Fby-the-device/telemetry", payload=json.dumps(long).encode()
    )

    assert "2.01" in output
    assert service.rows("SELECT count(*) FROM devices_latesttelemetry WHERE key LIKE 'key-%'") == ["100"]


def test_keys_beyond_the_quota_answer_4_00_and_nothing_of_the_message_is_kept(service, peer, token):
    peer.ask(request({"one": 1}, ("api", "v1", token, "telemetry"), mid=30))
    beyond = json.dumps({f"beyond-{number}": 0 for number in range(1000)}).encode()

    output, _ = service.coap_client("-b", "1024", path="/api/v1/chosen%2Fby-the-device/telemetry", payload=beyond)

    assert "4.00 A device may have 1000 telemetry keys" in output
    assert service.rows("SELECT count(*) FROM devices_latesttelemetry WHERE key LIKE 'beyond-%'") == ["0"]


def test_attributes_are_read_by_query(service, peer, token):
    service.coap_client(path="/api/v1/chosen%2Fby-the-device/attributes", payload=b"{mode: 'eco', level: 3}")

    for mid, (query, expected) in enumerate(
        {("clientKeys=mode,level",): {"client": {"mode": "eco", "level": 3}}, ("sharedKeys=mode",): {}}.items(), start=20
    ):
        answer = peer.ask(request(path=("api", "v1", token, "attributes"), mid=mid, code=GET, uri_query=query))
        assert (answer.code, answer.opt.content_format) == (Code.CONTENT, ContentFormat.JSON)
        assert json.loads(answer.payload) == expected


def test_attributes_of_an_unknown_token_answer_4_01(peer):
    assert peer.ask(request(path=("api", "v1", "nobody", "attributes"), mid=9, code=GET)).code == Code.UNAUTHORIZED


def test_get_answers_4_05(peer, token):
    assert peer.ask(request(path=("api", "v1", token, "telemetry"), mid=8, code=GET)).code == Code.METHOD_NOT_ALLOWED


def test_token_is_in_no_log(service, token):
    assert token not in service.server.output()
    assert token.replace("/", "%2F") not in service.server.output()
