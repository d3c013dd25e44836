"""Secrets are compared in constant time: nothing but hmac.compare_digest decides whether one is right."""

import hmac

import pytest

from devices.authentication import AuthenticationFailed, MqttConnect, authenticate
from devices.credentials import MqttBasic
from devices.services import device_create
from provisioning.choices import Reason
from tests.support.provisioning import ask, creating, provision

pytestmark = pytest.mark.django_db


@pytest.fixture
def compared(monkeypatch):
    """Every pair that is compared in constant time; each comparison says that the two are equal."""
    pairs = []

    def compare_digest(one, other):
        pairs.append((one, other))
        return True

    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    return pairs


def test_provision_secret(compared):
    key = creating()

    assert provision(ask(key, "a", secret="wrong")).reason == Reason.CREATED
    assert (b"wrong", key.secret.encode()) in compared


def test_password_of_a_device(compared):
    credentials = MqttBasic("", "meter", "right-password")
    device = device_create(name="meter", profile=creating().profile, credentials=credentials)

    assert authenticate(MqttConnect(client_id="", username="meter", password="wrong")) == device
    assert {b"wrong", b"right-password"} in [set(pair) for pair in compared]


def test_without_the_fixture_the_same_are_refused():
    device_create(name="meter", profile=creating().profile, credentials=MqttBasic("", "meter", "right-password"))

    with pytest.raises(AuthenticationFailed):
        authenticate(MqttConnect(client_id="", username="meter", password="wrong"))
