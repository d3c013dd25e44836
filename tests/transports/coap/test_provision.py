"""POST /api/v1/provision over CoAP: docs/protocol.md, *CoAP* and *Protobuf*."""

import asyncio
import base64
import datetime as dt
import json

import pytest
from aiocoap import GET, POST, PUT, Code, Context, Message
from aiocoap.numbers.types import ACK, NON
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.transports.coap.service import Peer, request
from transports.codecs import provision_pb2 as wire


def certificate() -> str:
    """Return the bare base64 of a certificate of more than 1 KiB."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DHT11-blockwise")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()


def test_coap_client_gets_credentials(service, profile):
    output, payload = service.coap_client("-t", "50", payload=json.dumps(profile | {"deviceName": "lib-1"}).encode())

    assert "2.01" in output
    answer = json.loads(payload)
    assert (answer["status"], answer["deviceName"]) == ("SUCCESS", "lib-1")
    assert answer["credentialsValue"] == answer["accessToken"]
    assert service.devices("lib-1") == 1
    assert service.rows("SELECT transport, address FROM provisioning_provisionattempt WHERE device_name = 'lib-1'") == [
        "COAP|127.0.0.1"
    ]


def test_without_content_format_answers_2_01_in_json(peer, profile):
    answer = peer.ask(request(profile | {"deviceName": "bare"}, mid=1))

    assert (answer.code, answer.mtype, answer.mid, answer.opt.content_format) == (Code.CREATED, ACK, 1, 50)
    assert json.loads(answer.payload)["deviceName"] == "bare"


def test_foreign_content_format_and_accept_are_ignored(peer, profile):
    answer = peer.ask(request(profile, mid=2, content_format=60, accept=60))

    assert (answer.code, answer.opt.content_format) == (Code.CREATED, 50)


def test_unknown_key_answers_4_00_with_not_found(peer):
    answer = peer.ask(request({"provisionDeviceKey": "nobody", "provisionDeviceSecret": "knows"}, mid=3))

    assert (answer.code, answer.opt.content_format) == (Code.BAD_REQUEST, 50)
    assert json.loads(answer.payload) == {
        "status": "NOT_FOUND",
        "provisionDeviceStatus": "NOT_FOUND",
        "errorMsg": "Provision data was not found!",
    }


def test_taken_name_answers_4_00_with_failure(service, peer, profile):
    peer.ask(request(profile | {"deviceName": "once"}, mid=4))
    answer = peer.ask(request(profile | {"deviceName": "once"}, mid=5))

    assert answer.code == Code.BAD_REQUEST
    assert json.loads(answer.payload)["errorMsg"] == "Failed to provision device!"
    assert service.devices("once") == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "empty"),
        (b"{nonsense", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "provisionDeviceKey is missing"),
        (b"[" * 3000, "nested too deeply"),
        (b"\xff\xfe\x00", "neither UTF-8"),
        (b'{"provisionDeviceKey":"k","provisionDeviceSecret":"s","credentialsType":"OTHER"}', "credentialsType must be one of"),
        (b'{"provisionDeviceKey":{},"provisionDeviceSecret":"s"}', "must be a string"),
    ],
)
def test_malformed_request_answers_4_00_that_says_why(peer, body, text):
    answer = peer.ask(request(body, mid=6))

    assert (answer.code, answer.opt.content_format) == (Code.BAD_REQUEST, 50)
    assert json.loads(answer.payload)["status"] == "FAILURE"
    assert text in json.loads(answer.payload)["errorMsg"]


def test_protobuf_request_gets_protobuf_answer(peer, profile):
    message = wire.ProvisionDeviceRequestMsg(deviceName="proto-1")
    message.provisionDeviceCredentialsMsg.provisionDeviceKey = profile["provisionDeviceKey"]
    message.provisionDeviceCredentialsMsg.provisionDeviceSecret = profile["provisionDeviceSecret"]
    body = message.SerializeToString()

    first, second = peer.ask(request(body, mid=7)), peer.ask(request(body, mid=8))

    made = wire.ProvisionDeviceResponseMsg.FromString(first.payload)
    assert (first.code, first.opt.content_format) == (Code.CREATED, 42)
    assert (made.status, len(made.credentialsValue)) == (wire.SUCCESS, 20)
    assert (second.code, second.opt.content_format) == (Code.BAD_REQUEST, 42)
    assert wire.ProvisionDeviceResponseMsg.FromString(second.payload).status == wire.FAILURE


@pytest.mark.parametrize("block_size", ["64", "1024"])
def test_certificate_goes_block_wise_both_ways_with_coap_client(service, profile, block_size):
    body = certificate()
    fields = {"deviceName": f"cert-{block_size}", "credentialsType": "X509_CERTIFICATE", "hash": body}

    output, payload = service.coap_client("-b", block_size, payload=json.dumps(profile | fields).encode())

    assert "2.31" in output
    answer = json.loads(payload)
    assert len(payload) > 1024
    assert (answer["status"], answer["credentialsValue"]) == ("SUCCESS", body)
    assert service.devices(f"cert-{block_size}") == 1


def test_certificate_goes_block_wise_with_aiocoap_client(service, profile):
    body = certificate()
    fields = {"deviceName": "cert-aiocoap", "credentialsType": "X509_CERTIFICATE", "hash": body}

    async def ask() -> Message:
        client = await Context.create_client_context(transports=["udp6"])
        uri = f"coap://127.0.0.1:{service.port}/api/v1/provision"
        try:
            message = Message(code=POST, uri=uri, payload=json.dumps(profile | fields).encode())
            return await asyncio.wait_for(client.request(message).response, 30)
        finally:
            await client.shutdown()

    answer = asyncio.run(ask())

    assert answer.code == Code.CREATED
    assert json.loads(answer.payload)["credentialsValue"] == body


def test_body_over_64_kib_is_refused_at_the_block_that_passes_it(service, peer):
    sent = 0
    answer = None
    for number in range(200):
        answer = peer.ask(request(b"x" * 1024, mid=1000 + number, block1=(number, True, 6)))
        sent += 1024
        if answer.code != Code.CONTINUE:
            break

    assert (answer.code, answer.opt.content_format, answer.opt.size1) == (Code.REQUEST_ENTITY_TOO_LARGE, 50, 65536)
    assert json.loads(answer.payload)["errorMsg"] == "The request is too large."
    assert sent == 65 * 1024


def test_body_that_announces_too_many_bytes_is_refused_at_its_first_block(peer):
    answer = peer.ask(request(b"x" * 1024, mid=20, block1=(0, True, 6), size1=70_000))

    assert answer.code == Code.REQUEST_ENTITY_TOO_LARGE


def test_seventy_kb_with_coap_client_is_refused(service):
    output, _ = service.coap_client("-b", "1024", payload=b"x" * 70_000)

    assert "4.13" in output


def test_seventy_kb_with_aiocoap_is_refused(service):
    async def ask():
        context = await Context.create_client_context()
        try:
            uri = f"coap://{service.host}:{service.port}/api/v1/provision"
            return await context.request(Message(code=POST, uri=uri, payload=b"x" * 70_000)).response
        finally:
            await context.shutdown()

    answer = asyncio.run(asyncio.wait_for(ask(), 90))

    assert (answer.code, json.loads(answer.payload)["errorMsg"]) == (Code.REQUEST_ENTITY_TOO_LARGE, "The request is too large.")


def test_other_methods_answer_4_05(peer):
    assert peer.ask(request(mid=30, code=GET)).code == Code.METHOD_NOT_ALLOWED
    assert peer.ask(request(mid=31, code=PUT)).code == Code.METHOD_NOT_ALLOWED
    assert peer.ask(request(mid=32, code=Code(31))).code == Code.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("path", [(), ("api",), ("api", "v1", "telemetry"), ("api", "v1", "provision", ""), ("admin",)])
def test_unknown_path_answers_4_04(peer, path):
    assert peer.ask(request(path=path, mid=33)).code == Code.NOT_FOUND


def test_well_known_core_lists_provisioning(peer):
    answer = peer.ask(request(path=(".well-known", "core"), mid=34, code=GET))

    assert (answer.code, answer.opt.content_format) == (Code.CONTENT, 40)
    assert answer.payload.startswith(b"</api/v1/provision>")


def test_unknown_critical_option_answers_4_02(peer, profile):
    # Option 65001, critical, empty: 14 is the extended delta (RFC 7252 section 3.1).
    head = request(mid=35)
    extended = (65001 - 11 - 269).to_bytes(2, "big")
    assert peer.ask(head + b"\xe0" + extended).code == Code.BAD_OPTION


def test_proxy_uri_answers_5_05(peer):
    assert peer.ask(request(mid=36, proxy_uri="coap://192.0.2.1/")).code == Code.PROXYING_NOT_SUPPORTED


def test_name_requested_by_64_peers_at_once_goes_to_one(service, profile):
    peers = [Peer(service) for _ in range(64)]
    for peer in peers:
        peer.send(request(profile | {"deviceName": "wanted"}, mid=50, mtype=NON))
    statuses = []
    for peer in peers:
        with peer:
            statuses.append(json.loads(peer.receive().payload)["status"])

    assert sorted(statuses) == ["FAILURE"] * 63 + ["SUCCESS"]
    assert service.devices("wanted") == 1
