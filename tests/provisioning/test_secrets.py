"""No secret is stored or printed in plain text: not in a row, a log, an answer to an operator, a repr or an error."""

import dataclasses
import logging

import pytest

from devices.credentials import AccessToken, MqttBasic, X509Certificate
from devices.models import Device, DeviceCredentials
from profiles.models import ProvisioningKey
from provisioning import services
from provisioning.choices import Reason, Transport
from provisioning.group_commit import GroupCommit
from provisioning.keys import keys_of
from provisioning.messages import ProvisionOutcome
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.services import provision_batch
from provisioning.validation import validate
from tests.support.provisioning import ask, certificate_text, checking, creating, database_text
from transports import handler
from transports.codecs import MalformedRequest, decode
from transports.handler import handle

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "s3cret-token-of-device"
PARTS = MqttBasic("client-id-1", "s3cret-user-name", "s3cret-password")
IDEMPOTENCY_KEY = "s3cret-idempotency-key"
WRONG = "s3cret-wrong-provision-secret"


@pytest.fixture
def key():
    return creating()


@pytest.fixture
def requests(key):
    """One of everything that carries a secret, the refused ones included."""
    own = checking("own", "strict", allow_own_credentials=True)
    return [
        ask(key, "a", credentials=AccessToken(TOKEN), idempotency_key=IDEMPOTENCY_KEY),
        ask(key, "b", credentials=PARTS),
        ask(key, "c", credentials=AccessToken(TOKEN)),
        ask(key, "d", credentials=MqttBasic("", TOKEN, "s3cret-password")),
        ask(key, "e", credentials=AccessToken(f"{TOKEN}\0")),
        ask(key, "f", credentials=X509Certificate(certificate_text("s3cret")[:-8])),
        ask(key, "g", secret=WRONG),
        ask(key, "h", key="s3cret-unknown-provision-key", secret=WRONG),
        ask(own, "own", credentials=AccessToken(f"{TOKEN}-2")),
        ask(own, "strict"),
    ]


def secrets(*keys):
    return {key.secret for key in keys} | {"s3cret", certificate_text("s3cret")[:-8]}


def assert_none(text, secrets):
    assert not [secret for secret in secrets if secret in text]


def test_no_secret_is_in_any_row_of_any_table(key, requests):
    outcomes = provision_batch(requests)

    tokens = {outcome.credentials.token for outcome in outcomes if isinstance(outcome.credentials, AccessToken)}
    assert len(tokens) == 3
    everything = database_text()
    assert "'a'" in everything
    assert_none(everything, secrets(*ProvisioningKey.objects.all()) | tokens)


def test_no_secret_is_in_any_log(key, requests, caplog, monkeypatch):
    """At the finest level, with every request failing once in the middle and once for good."""
    with caplog.at_level(logging.DEBUG):
        provision_batch(requests)
        write = services.write_ledger

        def explode(*args):
            write(*args)
            raise ValueError("boom")

        monkeypatch.setattr(services, "write_ledger", explode)
        provision_batch([ask(key, f"x-{request.device_name}", credentials=request.credentials) for request in requests])

    assert "failed unexpectedly" in caplog.text
    # The client library's own log of statements contains parameters, and is off unless Django's DEBUG is on.
    ours = "\n".join(
        f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records if record.name != "django.db.backends"
    )
    assert_none(ours, secrets(*ProvisioningKey.objects.all()))


def test_no_secret_is_in_any_repr(key, requests):
    outcomes = provision_batch(requests)
    admitted = validate(requests[0], keys_of(requests)[key.key], services.timezone.now())
    models = [*Device.objects.all(), *DeviceCredentials.objects.all(), *ProvisioningKey.objects.all()]
    rows = [*ProvisionAttempt.objects.all(), *RejectedRequest.objects.all()]

    presented = "\n".join(f"{one!r} {one}" for one in (*requests, *outcomes, admitted, *models, *rows))
    tokens = {outcome.credentials.token for outcome in outcomes if isinstance(outcome.credentials, AccessToken)}
    assert_none(presented, secrets(*ProvisioningKey.objects.all()) | tokens | {key.key, "client-id-1"})


def test_every_value_that_crosses_a_layer_is_frozen_and_has_slots():
    for value in (AccessToken, MqttBasic, X509Certificate, ProvisionOutcome):
        assert dataclasses.is_dataclass(value)
        assert value.__dataclass_params__.frozen
        assert not hasattr(value, "__dict__") or "__slots__" in vars(value)


def test_no_secret_is_in_a_reply_except_the_devices_own(key, monkeypatch, caplog):
    queue = GroupCommit()
    monkeypatch.setattr(handler, "group_commit", queue)
    body = f'{{"provisionDeviceKey": "{key.key}", "provisionDeviceSecret": "{key.secret}", "token": "{TOKEN}"'
    with caplog.at_level(logging.DEBUG):
        first = handle(f"{body}}}".encode(), Transport.HTTP).result(30)
        taken = handle(f'{body}, "deviceName": "b"}}'.encode(), Transport.HTTP).result(30)
        cut = handle(f'{body}, "deviceName": '.encode(), Transport.HTTP).result(30)
    queue.close()

    assert TOKEN.encode() in first.body
    assert key.secret.encode() not in first.body
    for reply in (taken, cut):
        assert_none(reply.body.decode(), {TOKEN, key.key, key.secret})
    assert_none(f"{first!r} {taken!r} {cut!r}", {TOKEN, key.key, key.secret})
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name != "django.db.backends")
    assert_none(ours, {TOKEN, key.secret})
    assert RejectedRequest.objects.get().reason == Reason.MALFORMED
    assert_none(database_text(["provisioning_rejectedrequest"]), {TOKEN, key.key, key.secret})


def test_errors_show_no_secret(key, requests):
    for request in requests:
        try:
            validate(request, keys_of([request]).get(request.key), services.timezone.now())
        except Exception as err:  # noqa: BLE001 - no exception may reveal the secret
            assert_none(f"{err!r} {err} {err.__cause__!r}", {"s3cret", key.secret})
    with pytest.raises(MalformedRequest) as caught:
        decode(b'{"provisionDeviceSecret": ["s3cret"], "provisionDeviceKey": "s3cret"}', requests[0].origin)
    assert_none(repr(caught.value), {"s3cret"})
