"""Devices: making them, resetting them, and what they report."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from devices.credentials import AccessToken, X509Certificate
from devices.errors import QuotaExceeded
from devices.models import Device, DeviceAttribute, DeviceCredentials, LatestTelemetry
from devices.services import Reading, client_attributes_save, device_create, device_reset_provisioning, telemetry_save
from profiles.services import profile_create
from tests.support.provisioning import ask, certificate, certificate_text, checking, provision

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def profile():
    attributes = [
        {"key": "model", "value": "DHT11", "scope": "SHARED_SCOPE"},
        {"key": "provisionState", "value": "provisioned", "scope": "SERVER_SCOPE"},
    ]
    return profile_create(name="sensors", strategy="DISABLED", default_attributes=attributes)[0]


@pytest.fixture
def device(profile):
    return device_create(name="DHT11-1", profile=profile)


def test_new_device_is_pre_provisioned_with_token_and_attributes(profile):
    device = device_create(name="  DHT11-1 ", profile=profile, label="Lab", gateway=True)

    device.refresh_from_db()
    assert (device.name, device.label, device.gateway, device.provisioned_at) == ("DHT11-1", "Lab", True, None)
    assert len(device.credentials.value) == 20
    assert list(device.attributes.values_list("scope", "key", "value")) == [("SHARED_SCOPE", "model", "DHT11")]


def test_certificate_is_stored_as_its_body(profile):
    device = device_create(name="a", profile=profile, credentials=X509Certificate(certificate()[0]))

    assert DeviceCredentials.objects.get(device=device).value == certificate_text()


@pytest.mark.parametrize("name", ["", "  ", "n" * 256, "a\0", "a\nb", "a\ud800", "DHT11-1"])
def test_unusable_or_taken_name_is_refused_and_nothing_made(device, name):
    with pytest.raises(ValidationError) as caught:
        device_create(name=name, profile=device.profile)

    assert "name" in caught.value.message_dict
    assert Device.objects.count() == DeviceCredentials.objects.count() == 1


@pytest.mark.parametrize("token", ["provision", "", "the-taken-token"])
def test_unusable_or_taken_credentials_are_refused_without_an_echo_and_nothing_made(profile, token):
    device_create(name="owner", profile=profile, credentials=AccessToken("the-taken-token"))

    with pytest.raises(ValidationError) as caught:
        device_create(name="a", profile=profile, credentials=AccessToken(token))

    assert "the-taken-token" not in repr(caught.value)
    assert Device.objects.count() == DeviceCredentials.objects.count() == 1


def test_reset_makes_device_pre_provisioned_and_keeps_credentials():
    key = checking("a")
    outcome = provision(ask(key, "a", idempotency_key="idempotency-key-1"))
    device = Device.objects.get()

    device_reset_provisioning(device=device)

    device.refresh_from_db()
    assert (device.provisioned_at, device.provisioned_with, device.retry_id, device.first_used_at) == (None, None, "", None)
    assert device.credentials.unpacked() == outcome.credentials
    assert not device.attributes.exists()


def test_profile_with_devices_is_not_deleted(device):
    with pytest.raises(ProtectedError):
        device.profile.delete()


def test_database_itself_refuses_nonsense(device):
    for row in (
        Device(name="", profile=device.profile),
        DeviceCredentials(device=Device(name="x", profile=device.profile), type="LWM2M", credentials_id="x", value="x"),
        DeviceAttribute(device=device, scope="NOWHERE", key="a", value=1),
        DeviceAttribute(device=device, scope="SHARED_SCOPE", key="model", value=1),
    ):
        with pytest.raises((IntegrityError, ValueError)), transaction.atomic():
            row.save(force_insert=True)


def test_credentials_show_no_secret(device):
    row = device.credentials

    assert row.value not in repr(row) + str(row) + repr(device) + repr(row.unpacked())


# --- Telemetry and client attributes --------------------------------------------------------------


def reading(key, value, minutes=0):
    return Reading(key, value, NOON + timedelta(minutes=minutes))


def latest():
    return {row.key: (row.value, row.measured_at) for row in LatestTelemetry.objects.all()}


def test_latest_value_of_each_key_is_kept(device):
    telemetry_save(device=device, readings=[reading("a", 1), reading("a", 2, 1), reading("b", {"x": [True]})])
    telemetry_save(device=device, readings=[reading("a", 3, 2), reading("c", "text")])

    assert latest() == {
        "a": (3, NOON + timedelta(minutes=2)),
        "b": ({"x": [True]}, NOON),
        "c": ("text", NOON),
    }


def test_older_value_is_dropped_and_of_two_equally_old_the_later_wins(device):
    telemetry_save(device=device, readings=[reading("a", 1, 5)])
    telemetry_save(device=device, readings=[reading("a", 2, 4), reading("a", 3, 3)])
    assert latest()["a"][0] == 1

    telemetry_save(device=device, readings=[reading("a", 4, 5)])
    assert latest()["a"][0] == 4


def test_no_readings_change_nothing(device):
    telemetry_save(device=device, readings=[])
    client_attributes_save(device=device, values={})

    assert not latest()


def test_keys_beyond_the_quota_are_refused_whole(device, settings):
    settings.MAX_KEYS_PER_DEVICE = 2
    telemetry_save(device=device, readings=[reading("a", 1), reading("b", 1)])
    client_attributes_save(device=device, values={"a": 1, "b": 1})

    with pytest.raises(QuotaExceeded, match="2 telemetry keys"):
        telemetry_save(device=device, readings=[reading("a", 2, 1), reading("c", 2)])
    with pytest.raises(QuotaExceeded, match="2 client attribute keys"):
        client_attributes_save(device=device, values={"a": 2, "c": 2})

    telemetry_save(device=device, readings=[reading("a", 3, 1), reading("b", 3, 1)])
    client_attributes_save(device=device, values={"a": 3, "b": 3})
    assert {key: value for key, (value, _) in latest().items()} == {"a": 3, "b": 3}
    assert dict(device.attributes.filter(scope="CLIENT_SCOPE").values_list("key", "value")) == {"a": 3, "b": 3}


def test_attributes_go_to_scope_client_and_leave_others_alone(device):
    client_attributes_save(device=device, values={"model": "mine", "version": [1, 2]})
    client_attributes_save(device=device, values={"model": "newer"})

    rows = set(device.attributes.values_list("scope", "key").order_by())
    assert rows == {("SHARED_SCOPE", "model"), ("CLIENT_SCOPE", "model"), ("CLIENT_SCOPE", "version")}
    assert device.attributes.get(scope="CLIENT_SCOPE", key="model").value == "newer"
    assert device.attributes.get(scope="SHARED_SCOPE", key="model").value == "DHT11"
