"""From bytes to bytes: what every transport answers."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.models import Device
from provisioning.choices import Transport
from provisioning.group_commit import GroupCommit
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.services import UNAVAILABLE
from tests.support.processes import wait_for
from tests.support.provisioning import checking, creating
from tests.transports.codecs.test_fuzz import any_text, documents
from transports import handler as module
from transports.codecs import JSON, PROTOBUF
from transports.codecs import provision_pb2 as wire
from transports.handler import ReplyKind, ReplySize, handle, too_large

pytestmark = pytest.mark.django_db(transaction=True)

WAIT_S = 30


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    """A queue that has served everything, and closed its connection, when the test ends."""
    made = GroupCommit()
    monkeypatch.setattr(module, "group_commit", made)
    yield made
    made.close()


@pytest.fixture
def keys(settings):
    """Made before any example: with SQLite in memory, a writer does not wait for another one."""
    settings.GUESSES_PER_SOURCE = settings.GUESSES_PER_KEY = 10_000
    return creating(), checking("a", allow_own_credentials=True)


def send(fields, **more):
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return handle(body, Transport.COAP, "192.0.2.1", **more).result(WAIT_S)


def pair(key):
    return {"provisionDeviceKey": key.key, "provisionDeviceSecret": key.secret}


def test_success_has_credentials():
    reply = send(pair(creating()) | {"deviceName": "a"})

    result = json.loads(reply.body)
    assert (reply.kind, reply.codec, result["status"]) == (ReplyKind.SUCCESS, JSON, "SUCCESS")
    assert result["credentialsValue"] == Device.objects.get().credentials.value
    attempt = ProvisionAttempt.objects.get()
    assert (attempt.transport, attempt.address, attempt.request_id) == ("COAP", "192.0.2.1", reply.request_id)


def test_protobuf_is_answered_in_protobuf():
    key = creating()
    presented = wire.ProvisionDeviceCredentialsMsg(provisionDeviceKey=key.key, provisionDeviceSecret=key.secret)
    reply = send(wire.ProvisionDeviceRequestMsg(deviceName="a", provisionDeviceCredentialsMsg=presented).SerializeToString())

    result = wire.ProvisionDeviceResponseMsg.FromString(reply.body)
    assert (reply.kind, reply.codec, result.status) == (ReplyKind.SUCCESS, PROTOBUF, wire.SUCCESS)
    assert result.credentialsValue == Device.objects.get().credentials.value


def test_idempotency_key_of_transport_repeats_the_answer():
    key = checking("a")
    first, second = (send(pair(key) | {"deviceName": "a"}, idempotency_key="idempotency-key-1") for _ in range(2))

    assert first.body == second.body


def test_reply_has_the_size_that_its_client_takes():
    key = creating()
    fields = pair(key) | {"deviceName": "DHT11-0001"}
    whole, short = (send(fields, idempotency_key="idempotency-key-1", size=size) for size in (None, ReplySize(190)))

    assert whole.body.startswith(short.body[:-1])
    assert len(short.body) <= 190 < len(whole.body)


def test_reply_that_does_not_fit_is_not_sent_and_the_attempt_says_so():
    reply = send(pair(creating()) | {"deviceName": "a"}, size=ReplySize(50, most=50))

    attempt = ProvisionAttempt.objects.get()
    assert (reply.kind, reply.body, attempt.outcome) == (ReplyKind.UNSENDABLE, b"", "SUCCESS")
    assert attempt.detail == reply.text
    assert attempt.detail.endswith(" bytes, and the client accepts 50.")
    assert send(b"{}", size=ReplySize(50, most=50)).kind == ReplyKind.UNSENDABLE


def test_refusal_is_a_failure_reply():
    reply = send(pair(creating()) | {"provisionDeviceSecret": "wrong"})

    assert (reply.kind, json.loads(reply.body)["status"]) == (ReplyKind.REFUSED, "NOT_FOUND")


def test_limited_source_gets_retry_after(settings):
    settings.GUESSES_PER_SOURCE = 1
    replies = [send(pair(creating()) | {"provisionDeviceKey": "unknown-unknown"}) for _ in range(4)]

    assert replies[0].kind == ReplyKind.REFUSED
    assert replies[-1].kind == ReplyKind.LIMITED
    assert 0 < replies[-1].retry_after_s <= 60


def test_unreadable_request_gets_the_reason_and_is_counted():
    reply = send(b"garbage")

    assert (reply.kind, json.loads(reply.body)["errorMsg"]) == (ReplyKind.MALFORMED, reply.text)
    wait_for(RejectedRequest.objects.exists, "the count")
    assert RejectedRequest.objects.get().detail == reply.text


@pytest.mark.parametrize("reply", [lambda: send(b" " * 70_000), lambda: too_large(Transport.HTTP)])
def test_request_over_64_kib_is_too_large(reply):
    assert reply().kind == ReplyKind.TOO_LARGE


def test_unavailable_database_is_unavailable_reply(monkeypatch, queue):
    monkeypatch.setattr(queue, "submit", lambda _request, on_done: on_done(UNAVAILABLE))

    reply = send(pair(creating()))

    assert (reply.kind, reply.retry_after_s) == (ReplyKind.UNAVAILABLE, 5)
    assert json.loads(reply.body)["status"] == "FAILURE"


def test_caller_who_stops_waiting_cancels_nothing():
    answer = handle(json.dumps(pair(creating()) | {"deviceName": "a"}).encode(), Transport.COAP)

    assert not answer.cancel()
    assert answer.result(WAIT_S).kind == ReplyKind.SUCCESS


def test_answer_that_cannot_be_encoded_still_gets_a_reply(monkeypatch, caplog):
    def explode(_outcome):
        raise RuntimeError("boom")

    monkeypatch.setattr(JSON, "encode", explode)

    assert send(pair(creating())).kind == ReplyKind.UNAVAILABLE
    assert "could not be encoded" in caplog.text


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(document=documents, name=st.none() | any_text, index=st.integers(0, 1))
def test_whatever_comes_gets_an_answer_and_no_internal_error(keys, caplog, document, name, index):
    key = keys[index]
    body = (document if isinstance(document, dict) else {}) | pair(key) | {"deviceName": name}

    reply = send(body)

    assert reply.kind in (ReplyKind.SUCCESS, ReplyKind.REFUSED, ReplyKind.MALFORMED)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert key.secret.encode() not in reply.body
    assert key.secret not in caplog.text + repr(reply)
