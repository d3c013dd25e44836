"""Every exchange of contracts/*.json is replayed in order, each field of the answer checked.

`denied` of a contract is the answer to what has no right to one.
"""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from brokers import views
from brokers.dialects import DIALECTS
from brokers.models import Broker, BrokerDenial
from brokers.services import broker_create, broker_delete, broker_rotate_secret
from devices.bulk_services import devices_block
from devices.credentials import AccessToken
from devices.models import Device
from devices.services import device_create
from profiles.services import profile_create

pytestmark = [pytest.mark.django_db, pytest.mark.database]
CONTRACTS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "contracts").glob("*.json"))]


@pytest.fixture
def values():
    profile, _ = profile_create(name="P", strategy="DISABLED", topic_pattern="plant/{device_name}/#")
    device = device_create(name="DHT11-1", profile=profile, credentials=AccessToken("token-of-the-device"))
    blocked = device_create(name="DHT11-2", profile=profile, credentials=AccessToken("token-of-the-blocked"))
    devices_block(devices=Device.objects.filter(pk=blocked.pk))
    return {
        "$TOKEN": "token-of-the-device",
        "$BLOCKED": "token-of-the-blocked",
        "$DEVICE": str(device.pk),
        "$NAME": device.name,
        "$SECRET": "secret-of-the-broker",
    }


def filled(document, values):
    text = json.dumps(document)
    for name, value in values.items():
        text = text.replace(name, value)
    return json.loads(text)


def ask(client, broker, exchange, secret="secret-of-the-broker"):
    path = f"/api/brokers/{broker.pk}/{exchange['call']}"
    headers = {"vernemq-hook": exchange["hook"]} if "hook" in exchange else {}
    if "form" in exchange:
        body, kind = urlencode(exchange["form"]), "application/x-www-form-urlencoded"
        return client.post(f"{path}?secret={secret}", body, content_type=kind)
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    return client.post(path, json.dumps(exchange["request"]), content_type="application/json", headers=headers)


def answered(response, expected, name=""):
    """Return the body of `response`, JSON or text as that of `expected`, whose status it has."""
    assert response.status_code == expected.get("status", 200), name
    text = isinstance(expected["answer"], str)
    assert response["Content-Type"] == ("text/plain" if text else "application/json"), name
    return response.content.decode() if text else response.json()


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["kind"])
def test_recorded_exchanges(contract, client, values):
    broker = broker_create(name="b", kind=contract["kind"], secret="secret-of-the-broker")
    for exchange in filled(contract["exchanges"], values):
        answer = answered(ask(client, broker, exchange), exchange, exchange["name"])
        expected = exchange["answer"]
        if isinstance(expected, dict):
            assert {name: answer.get(name) for name in expected} == expected, exchange["name"]
        if not isinstance(expected, dict) or expected.get("result") == "deny":
            assert answer == expected, exchange["name"]
    broker.refresh_from_db()
    assert broker.last_asked_at
    assert Device.objects.get(name="DHT11-1").first_used_at
    assert not Device.objects.get(name="DHT11-2").first_used_at
    assert not any("token-of-the" in str(vars(denial)) for denial in BrokerDenial.objects.all())


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["kind"])
@pytest.mark.parametrize("secret", ["", "wrong", "secret-of-another-one"])
def test_call_without_the_secret_is_denied(contract, secret, client, values):
    broker = broker_create(name="b", kind=contract["kind"], secret="secret-of-the-broker")
    broker_create(name="c", kind=contract["kind"], secret="secret-of-another-one")
    response = ask(client, broker, filled(contract["exchanges"][0], values), secret)

    assert answered(response, contract["denied"]) == contract["denied"]["answer"]
    assert not Device.objects.get(name="DHT11-1").first_used_at


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"client_id": {"a": 1}}', b"\xff\xfe=\xff", b'{"client_id": "' + b"x" * 3_000_000 + b'"}']
)
@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["kind"])
def test_what_is_not_understood_is_denied(contract, body, client):
    broker = broker_create(name="b", kind=contract["kind"], secret="secret-of-the-broker")
    path = f"/api/brokers/{broker.pk}/{contract['exchanges'][0]['call']}?secret=secret-of-the-broker"
    response = client.post(path, body, content_type="application/json", headers={"vernemq-hook": "auth_on_register"})

    assert answered(response, contract["denied"]) == contract["denied"]["answer"]


def test_new_secret_works_at_once_and_the_old_one_no_longer_than_a_broker_is_believed(client, values, monkeypatch):
    monkeypatch.setattr(views, "RECENT_S", 3600.0)
    broker = broker_create(name="b", kind="emqx", secret="secret-of-the-broker")
    contract = next(one for one in CONTRACTS if one["kind"] == "emqx")
    exchange = filled(contract["exchanges"][0], values)

    def is_denied(secret):
        return answered(ask(client, broker, exchange, secret), contract["denied"]) == contract["denied"]["answer"]

    assert not is_denied("secret-of-the-broker")
    broker_rotate_secret(broker=broker)
    assert is_denied("a-wrong-secret-0001")
    assert is_denied("secret-of-the-broker")
    assert not is_denied(broker.secret)

    broker_delete(broker=Broker.objects.get())
    monkeypatch.setattr(views, "RECENT_S", 0.0)
    assert is_denied(broker.secret)


def test_no_two_dialects_answer_a_call_of_the_same_name():
    # What a call is denied in, before its broker is known, follows from its name.
    names = [name for dialect in DIALECTS.values() for name in dialect.CALLS]

    assert len(names) == len(set(names))


def test_database_error_is_a_denial(client, monkeypatch):
    from django.db import OperationalError

    def away(*_):
        raise OperationalError

    monkeypatch.setattr("brokers.views.has_secret", away)
    broker = broker_create(name="b", kind="emqx", secret="secret-of-the-broker")
    exchange = {"call": "authenticate", "request": {"client_id": "c", "username": "t"}}
    response = ask(client, broker, exchange)
    assert (response.status_code, response.json()) == (200, {"result": "deny"})
