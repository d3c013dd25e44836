"""POST /api/v1/{token}/telemetry and /attributes: docs/protocol.md, *With the credentials afterwards*."""

import io
import json
import logging.config

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from config.log_format import logging_config
from devices.credentials import AccessToken
from devices.models import Device, DeviceAttribute, LatestTelemetry
from devices.services import device_create
from profiles.services import profile_create
from provisioning.errors import Unavailable
from transports.http import views

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "s3cret/token-of-the-meter"


@pytest.fixture
def device():
    profile, _ = profile_create(name="sensors", strategy="CHECK_PRE_PROVISIONED_DEVICES")
    return device_create(name="meter", profile=profile, credentials=AccessToken(TOKEN))


@pytest.fixture
def log_output():
    """All that is logged, at the level of debugging, as text."""
    written = io.StringIO()
    config = logging_config(as_json=False, level="DEBUG")
    config["handlers"]["console"]["stream"] = written
    config["loggers"]["django.request"]["level"] = "DEBUG"
    config["loggers"]["django.security"]["level"] = "DEBUG"
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logging.config.dictConfig(config)
    # SQL with its parameters is logged only with DEBUG on.
    yield written
    root.handlers[:], root.level = handlers, level
    logging.config.dictConfig(
        logging_config(as_json=False, level="INFO")
        | {"handlers": {}, "root": {}}
        | {"loggers": {"django.request": {"level": "ERROR"}, "django.security": {"level": "CRITICAL"}}}
    )


def post(kind, body, token=TOKEN):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client(raise_request_exception=False).post(f"/api/v1/{token}/{kind}", body, content_type="application/json")


def values():
    return {row.key: row.value for row in LatestTelemetry.objects.all()}


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (
            {"a": 1, "b": "text", "c": True, "d": {"x": [1]}, "e": [1, 2], "f": None},
            {"a": 1, "b": "text", "c": True, "d": {"x": [1]}, "e": [1, 2]},
        ),
        ({"ts": 1_700_000_000_000, "values": {"a": 1.5, "b": None}}, {"a": 1.5}),
        ([{"a": 1}, {"ts": 1_700_000_000_000, "values": {"b": 2}}], {"a": 1, "b": 2}),
        ({"ts": 5, "other": 6}, {"ts": 5, "other": 6}),
        ([], {}),
        ({}, {}),
    ],
)
def test_telemetry_of_every_form_is_kept(device, body, kept):
    answer = post("telemetry", body)

    assert (answer.status_code, answer.content) == (200, b"")
    assert values() == kept


def test_older_reading_does_not_overwrite_a_newer_one(device):
    post("telemetry", {"ts": 2_000, "values": {"a": "new"}})
    post("telemetry", {"ts": 1_000, "values": {"a": "old"}})
    post("telemetry", [{"ts": 3_000, "values": {"a": "newest"}}, {"ts": 2_500, "values": {"a": "between"}}])

    assert values() == {"a": "newest"}


def test_attributes_are_set_in_scope_client(device):
    assert post("attributes", {"firmware": "1.2", "nothing": None}).status_code == 200
    assert post("attributes", {"firmware": "1.3"}).status_code == 200

    rows = DeviceAttribute.objects.filter(device=device)
    assert [(row.scope, row.key, row.value) for row in rows] == [("CLIENT_SCOPE", "firmware", "1.3")]


def test_first_use_is_noted(device):
    post("telemetry", {"a": 1})

    device.refresh_from_db()
    assert device.first_used_at is not None
    assert device.last_seen_at is not None


@pytest.mark.parametrize("kind", ["telemetry", "attributes"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[" * 60_000,
        b"7",
        b"null",
        b'"text"',
        b"[[1]]",
        b'{"a": 1,}',
        b"\x08\x01\x12\x04\x0a\x02\x08\x05",
        b'{"": 1}',
        b'{"nul\\u0000": 1}',
        b'{"a": "\\u0000"}',
        b'{"a": {"b": ["\\ud800"]}}',
        b'{"' + b"k" * 256 + b'": 1}',
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        json.dumps({f"k{number}": 1 for number in range(1_001)}).encode(),
    ],
)
def test_bad_data_answers_400_in_json(device, kind, body):
    answer = post(kind, body)

    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")
    assert answer.json()["errorMsg"].endswith(".")
    assert not LatestTelemetry.objects.exists()
    assert not DeviceAttribute.objects.exists()


@pytest.mark.parametrize("ts", [True, "now", None, 1e300, -1e300, 10**400, [], 253_402_300_800_000])
def test_time_out_of_range_answers_400(device, ts):
    assert post("telemetry", {"ts": ts, "values": {"a": 1}}).status_code == 400
    assert values() == {}


@pytest.mark.parametrize("token", ["nobody", "%00", "%ff", "x" * 300, "%20", "provision"])
@pytest.mark.parametrize("kind", ["telemetry", "attributes"])
def test_unknown_token_answers_401(device, token, kind):
    answer = post(kind, {"a": 1}, token)

    assert (answer.status_code, answer.content) == (401, b"")


def test_blocked_device_answers_401(device):
    Device.objects.update(blocked=True)

    assert post("telemetry", {"a": 1}).status_code == 401
    assert values() == {}


def test_body_over_64_kib_answers_413(device):
    answer = post("telemetry", {"a": "x" * 70_000})

    assert (answer.status_code, answer.json()["errorMsg"]) == (413, "The body is too large.")


def test_data_that_is_no_strict_json_is_kept(device):
    assert post("telemetry", "{temperature:25, 'ort': Küche, broken: NaN}".encode("iso-8859-1")).status_code == 200
    assert values() == {"temperature": 25, "ort": "Küche"}


@pytest.mark.parametrize("kind", ["telemetry", "attributes"])
def test_keys_beyond_the_quota_answer_400_and_nothing_of_the_message_is_kept(device, settings, kind):
    settings.MAX_KEYS_PER_DEVICE = 2
    assert post(kind, {"a": 1, "b": 1}).status_code == 200
    refused = post(kind, {"a": 2, "c": 2})

    assert (refused.status_code, refused.json()["errorMsg"].split(".")[0]) == (
        400,
        f"A device may have 2 {'telemetry' if kind == 'telemetry' else 'client attribute'} keys",
    )
    assert post(kind, {"a": 3, "b": 3}).status_code == 200
    rows = LatestTelemetry.objects if kind == "telemetry" else DeviceAttribute.objects
    assert dict(rows.values_list("key", "value")) == {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", {"client": {"fw": "1.2", "n": [1]}, "shared": {"target": 21.5}}),
        ("?clientKeys=&sharedKeys=", {"client": {"fw": "1.2", "n": [1]}, "shared": {"target": 21.5}}),
        ("?clientKeys=fw,nothing", {"client": {"fw": "1.2"}}),
        ("?sharedKeys=target", {"shared": {"target": 21.5}}),
        ("?clientKeys=n&sharedKeys=target", {"client": {"n": [1]}, "shared": {"target": 21.5}}),
        ("?sharedKeys=state", {}),
        ("?clientKeys=%00,fw,%ff", {"client": {"fw": "1.2"}}),
    ],
)
def test_device_reads_its_client_and_shared_attributes(device, query, answer):
    post("attributes", {"fw": "1.2", "n": [1]})
    DeviceAttribute.objects.create(device=device, scope="SHARED_SCOPE", key="target", value=21.5)
    DeviceAttribute.objects.create(device=device, scope="SERVER_SCOPE", key="state", value="secret of the server")

    got = Client().get(f"/api/v1/{TOKEN}/attributes{query}")

    assert (got.status_code, got["Content-Type"], got["Cache-Control"]) == (200, "application/json", "no-store")
    assert got.json() == answer


def test_attributes_of_an_unknown_token_answer_401(device):
    assert Client().get("/api/v1/nobody/attributes").status_code == 401


def test_get_answers_405_in_json(device):
    answer = Client().get(f"/api/v1/{TOKEN}/telemetry")

    assert (answer.status_code, answer["Content-Type"]) == (405, "application/json")


def test_token_is_in_no_log_whatever_happens(device, log_output, monkeypatch):
    statuses = [post("telemetry", {"a": 1}).status_code, post("telemetry", b"bad").status_code]
    Device.objects.update(blocked=True)
    statuses.append(post("attributes", {"a": 1}).status_code)
    statuses.append(Client().get(f"/api/v1/{TOKEN}/telemetry").status_code)
    statuses.append(Client().get(f"/api/v1/{TOKEN}/telemetri").status_code)
    statuses.append(Client().get(f"/api/v1/{TOKEN}/attributes?sharedKeys={'k,' * 1001}").status_code)
    for failure in (OperationalError("gone"), RuntimeError("a defect")):
        monkeypatch.setattr(views, "authenticate", lambda *_, failure=failure: (_ for _ in ()).throw(failure))
        statuses.append(post("telemetry", {"a": 1}).status_code)

    assert statuses == [200, 400, 401, 405, 404, 401, 503, 500]
    assert "a defect" in log_output.getvalue(), "the log has the failure"
    assert "/api/v1/…" in log_output.getvalue()
    assert "s3cret" not in log_output.getvalue()
    assert "token-of-the-meter" not in log_output.getvalue()


def test_server_error_answers_500_in_json_without_details(device, log_output, monkeypatch):
    monkeypatch.setattr(views, "authenticate", lambda *_: 1 / 0)
    answer = post("telemetry", {"a": 1})

    assert (answer.status_code, answer["Content-Type"]) == (500, "application/json")
    assert answer.json()["errorMsg"] == "An error of the server."


def test_time_now_is_used_without_ts(device):
    before = timezone.now()
    post("telemetry", {"a": 1})

    assert before <= LatestTelemetry.objects.get().measured_at <= timezone.now()


def test_guesses_of_tokens_are_limited_and_devices_that_worked_before_go_on(device, settings):
    settings.GUESSES_PER_SOURCE = 5
    client = Client()
    assert client.post(f"/api/v1/{TOKEN}/telemetry", b"{}", content_type="").status_code == 200

    answers = [client.post(f"/api/v1/guess-{number}/telemetry", b"{}", content_type="") for number in range(7)]

    assert [answer.status_code for answer in answers] == [401] * 6 + [429]
    assert int(answers[-1]["Retry-After"]) > 0
    assert answers[-1].json()["status"] == "FAILURE"
    assert client.post(f"/api/v1/{TOKEN}/telemetry", b"{}", content_type="").status_code == 200
    elsewhere = client.post("/api/v1/nobody/telemetry", b"{}", content_type="", REMOTE_ADDR="192.0.2.9")
    assert elsewhere.status_code == 401


def test_a_token_is_known_without_decryption(device, settings):
    settings.ENCRYPTION_KEYS = ["BhKPHk4w0lZqWZoDbV1oJ5vS0cD7mO6b2cYc8w0Q3zE="]

    assert Client().post(f"/api/v1/{TOKEN}/telemetry", b"{}", content_type="").status_code == 200


def test_while_credentials_cannot_be_compared_it_is_503(device, monkeypatch):
    def unavailable(*_, **__):
        raise Unavailable("No key in ENCRYPTION_KEYS decrypts a stored value.")

    monkeypatch.setattr(views, "authenticate", unavailable)

    answer = Client().post(f"/api/v1/{TOKEN}/telemetry", b"{}", content_type="")

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
