"""POST /api/v1/provision: docs/protocol.md, *HTTP*, and what bad input gets."""

import asyncio
import json
import socket

import pytest
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.deferred import ACCEPTED, Deferred
from devices.models import Device
from profiles.services import profile_create
from provisioning.models import ProvisionAttempt
from tests.support.web import Web, create_profile
from transports.codecs import provision_pb2 as wire
from transports.http.views import ProvisionView

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v1/provision"


@pytest.fixture
def fields():
    """The fields by which a request selects a profile."""
    _, key = profile_create(name="sensors", strategy="ALLOW_CREATE_NEW_DEVICES")
    return {"provisionDeviceKey": key.key, "provisionDeviceSecret": key.secret}


def provision(body, content_type="application/json", **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().post(PATH, body, content_type=content_type, headers=headers)


def assert_failure(answer, status: int, text: str) -> None:
    """The answer is in the form of docs/protocol.md and says `text`."""
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/json"
    result = answer.json()
    assert set(result) == {"status", "provisionDeviceStatus", "errorMsg"}
    assert result["status"] == result["provisionDeviceStatus"]
    assert text in result["errorMsg"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense", ""])
def test_request_of_any_content_type_succeeds(fields, content_type):
    answer = provision(fields | {"deviceName": "DHT11", "unknown": [1]}, content_type)

    assert (answer.status_code, answer.json()["status"]) == (200, "SUCCESS")
    assert answer["Cache-Control"] == "no-store"
    assert Device.objects.get().name == "DHT11"


@pytest.mark.parametrize("accept", ["text/html", "application/x-protobuf", "nonsense", ""])
def test_accept_header_and_format_are_ignored(fields, accept):
    answer = Client().post(f"{PATH}?format=xml", json.dumps(fields), content_type="text/plain", headers={"Accept": accept})

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json()["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "empty"),
        (b"not json", "not valid JSON"),
        (b"[1, 2]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"[" * 60_000, "nested too deeply"),
        (b'{"a":' * 10_000, "nested too deeply"),
        (b"\xff\xfe{}", "neither UTF-8"),
        (b'{"provisionDeviceKey": 1,}', "not valid JSON"),
        (b"{}", "provisionDeviceKey is missing"),
        (b'{"provisionDeviceKey": "k"}', "provisionDeviceSecret is missing"),
        (b'{"provisionDeviceKey": null, "provisionDeviceSecret": "s"}', "provisionDeviceKey is missing"),
        (b'{"provisionDeviceKey": ["k"], "provisionDeviceSecret": "s"}', "provisionDeviceKey must be a string"),
        (b'{"provisionDeviceKey": "k", "provisionDeviceSecret": true}', "provisionDeviceSecret must be a string"),
    ],
)
def test_unreadable_body_answers_400_and_says_why(body, text):
    assert_failure(provision(body), 400, text)
    assert not ProvisionAttempt.objects.exists()


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"deviceName": {}}, "deviceName must be a string"),
        ({"credentialsType": "PASSWORD"}, "credentialsType must be one of"),
        ({"credentialsType": 0}, "credentialsType must be one of"),
        ({"gateway": []}, "gateway must be true or false"),
        ({"token": ["t"]}, "token must be a string"),
        ({"idempotencyKey": "short"}, "16 to 128 characters"),
        ({"idempotencyKey": "sixteen-or-more\x00!"}, "without control characters"),
    ],
)
def test_wrong_type_or_enum_answers_400(fields, extra, text):
    assert_failure(provision(fields | extra), 400, text)
    assert not Device.objects.exists()


@pytest.mark.parametrize(
    "extra",
    [
        {"deviceName": "  "},
        {"deviceName": "nul\x00"},
        {"deviceName": "\x1b[31m"},
        {"deviceName": "\ud800"},
        {"deviceName": "x" * 256},
        {"token": "nul\x00nul\x00"},
        {"token": "x" * 20_001},
        {"token": "provision"},
        {"token": "\udfff" * 9},
        {"credentialsType": "MQTT_BASIC", "clientId": "x" * 256},
        {"credentialsType": "MQTT_BASIC", "username": "\x7f"},
        {"credentialsType": "X509_CERTIFICATE", "hash": "no certificate"},
        {"credentialsType": "X509_CERTIFICATE", "hash": "-----BEGIN CERTIFICATE-----\n"},
        {"credentialsType": "LWM2M_CREDENTIALS"},
    ],
)
def test_unusable_value_answers_200_with_failure_and_leaves_an_attempt_only(fields, extra):
    answer = provision(fields | extra)

    assert_failure(answer, 200, "Failed to provision device!")
    assert not Device.objects.exists()
    assert ProvisionAttempt.objects.get().outcome == "FAILURE"


@pytest.mark.parametrize(
    "extra", [{"provisionDeviceKey": ""}, {"provisionDeviceSecret": "wrong"}, {"provisionDeviceKey": "\x00\ud800"}]
)
def test_wrong_key_or_secret_answers_200_with_not_found(fields, extra):
    answer = provision(fields | extra)

    assert_failure(answer, 200, "Provision data was not found!")
    assert answer.json()["status"] == "NOT_FOUND"


def test_body_over_64_kib_answers_413(fields):
    assert_failure(provision(fields | {"deviceName": "x" * 70_000}), 413, "too large")


def test_truncated_protobuf_answers_400(fields):
    message = wire.ProvisionDeviceRequestMsg(deviceName="proto")
    message.provisionDeviceCredentialsMsg.provisionDeviceKey = fields["provisionDeviceKey"]

    assert_failure(provision(message.SerializeToString()[:-3]), 400, "")


def test_idempotency_key_in_the_header_repeats_the_answer(fields):
    header = {"Idempotency-Key": "a-key-of-the-device"}
    first, second = (provision(fields | {"deviceName": "again"}, **header) for _ in range(2))

    assert first.json() == second.json()
    assert Device.objects.count() == 1
    assert_failure(provision(fields, **{"Idempotency-Key": "short"}), 400, "16 to 128 characters")


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_other_methods_answer_405_in_json(method):
    answer = getattr(Client(), method)(PATH)

    assert_failure(answer, 405, "not allowed")
    assert "POST" in answer["Allow"]


@pytest.mark.parametrize("path", ["/api/", "/api/v1/", "/api/v1/provision/", "/api/v2/provision", "/api/v1/token/other"])
def test_unknown_api_path_answers_404_in_json(path):
    answer = Client().post(path, b"{}", content_type="application/json")

    assert_failure(answer, 404, "No such path.")
    assert answer["Content-Length"] == str(len(answer.content))


def test_wrong_host_of_a_program_answers_400_in_json_without_an_echo():
    answer = Client().get("/api/imports/", headers={"Host": "evil.example"})

    assert_failure(answer, 400, "Bad request.")
    assert b"evil" not in answer.content


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 503), ("/metrics", 401)])
def test_monitoring_is_answered_whatever_its_host_header_is(settings, path, status):
    settings.METRICS_TOKEN = "a-token-for-the-metrics"

    answer = Client().get(path, headers={"Host": "10.0.0.7:8080"})

    assert answer.status_code == status


@given(
    body=st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "provisionDeviceKey",
                            "provisionDeviceSecret",
                            "deviceName",
                            "credentialsType",
                            "token",
                            "hash",
                            "gateway",
                        ]
                    ),
                    inner,
                    max_size=7,
                )
            ),
            max_leaves=10,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_arrives_is_answered_in_form(body):
    answer = provision(body)

    assert answer.status_code in (200, 400, 429)
    assert answer.json()["status"] in ("FAILURE", "NOT_FOUND")
    assert not Device.objects.exists()


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    web = Web(tmp_path_factory.mktemp("web"))
    yield web
    web.server.stop()


def raw(web, request: bytes) -> bytes:
    """Return all that the web server answers to the bytes of `request`."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer


def chunked(body: bytes) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = (body[start : start + 1000] for start in range(0, len(body), 1000))
    return head + b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks) + b"0\r\n\r\n"


def test_chunked_body_is_read(web):
    profile = create_profile(web.environment, "chunked")
    fields = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"], "idempotencyKey": "x" * 100}

    assert b'"status":"SUCCESS"' in raw(web, chunked(json.dumps(fields, indent=400).encode()))


def test_chunked_body_over_64_kib_answers_413(web):
    answer = raw(web, chunked(b"x" * 70_000))

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"The request is too large." in answer


def test_seventy_kb_over_the_wire_answer_413(web):
    answer = web.request(PATH, b"x" * 70_000)

    assert (answer.status, json.loads(answer.body)["status"]) == (413, "FAILURE")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"POST /api/v1/provision HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: nonsense\r\nConnection: close\r\n\r\n",
        b"POST /api/v1/%00%ff/telemetry HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_nonsense_over_the_wire_is_survived(web, request_bytes):
    assert b"Traceback" not in raw(web, request_bytes)
    assert web.request("/healthz").status == 200
    assert "Traceback" not in web.server.output()


@pytest.mark.parametrize("body", [b'{"deviceName": "a", %s}', b"{'deviceName': a, %s}", b'{"deviceName": 1}', b"\xff", b""])
def test_the_view_may_run_on_the_event_loop_since_it_does_not_use_the_database(fields, body):
    selecting = json.dumps(fields)[1:-1].encode()
    sent = body.replace(b"%s", selecting)
    request = RequestFactory().post(PATH, sent, content_type="application/json", **{ACCEPTED: True})

    async def view():
        return ProvisionView.as_view()(request)  # Django raises SynchronousOnlyOperation if the database is used here

    answer = asyncio.run(view())

    assert isinstance(answer, Deferred)
    assert answer.finish(answer.future.result(30)).status_code == (200 if selecting in sent else 400)
