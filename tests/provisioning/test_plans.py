"""Every statement on the request path finds its rows by an index, on PostgreSQL and on SQLite, with tables that are not small.

PostgreSQL may scan as it likes here (enable_seqscan is on): the tables are analyzed, and it knows that they are not small.
"""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from devices.authentication import AuthenticationFailed, MqttConnect, PresentedToken, authenticate
from devices.credentials import AccessToken
from devices.models import Device, DeviceAttribute, DeviceCredentials, LatestTelemetry
from profiles.models import DeviceProfile, ProvisioningKey
from provisioning import rate_limits
from provisioning.choices import Reason, Transport
from provisioning.messages import Origin
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.rate_limits import Guess
from provisioning.rejected import Rejected, record
from provisioning.tasks import prune_attempts
from tests.support.plans import plans
from tests.support.provisioning import ask, checking, creating, empty_database, provision
from transports.device_data import take_attributes, take_telemetry

DEVICES = 4_000
PROFILES = 500
# Not among them: heartbeats, one row for each living process.
TABLES = {
    model._meta.db_table
    for model in (
        *(Device, DeviceCredentials, DeviceAttribute, LatestTelemetry),
        *(DeviceProfile, ProvisioningKey, ProvisionAttempt, RejectedRequest),
    )
}


@pytest.fixture(scope="module")
def _filled(django_db_setup, django_db_blocker):
    """Tables that are not small, analyzed."""
    with django_db_blocker.unblock():
        _fill()
        yield
        empty_database()


def _fill():
    now = timezone.now()
    profiles = [DeviceProfile(name=f"profile {n}", strategy="DISABLED", description="x" * 200) for n in range(PROFILES)]
    keys = [ProvisioningKey(profile=profile, key=f"key-number-{n}", secret="s" * 20) for n, profile in enumerate(profiles)]
    devices = [Device(name=f"d{n}", profile=profiles[n % PROFILES], provisioned_with=keys[n % PROFILES]) for n in range(DEVICES)]
    credentials = [DeviceCredentials(device=device) for device in devices]
    for device, row in zip(devices, credentials, strict=True):
        row.set(AccessToken(f"token-of-{device.name}"))
    DeviceProfile.objects.bulk_create(profiles)
    ProvisioningKey.objects.bulk_create(keys)
    Device.objects.bulk_create(devices)
    DeviceCredentials.objects.bulk_create(credentials)
    DeviceAttribute.objects.bulk_create(
        [
            DeviceAttribute(device=device, scope=scope, key="a", value=1)
            for device in devices
            for scope in ("SERVER_SCOPE", "CLIENT_SCOPE")
        ]
    )
    LatestTelemetry.objects.bulk_create(
        [LatestTelemetry(device=device, key=key, value=1, measured_at=now) for device in devices for key in ("t", "h")]
    )
    ProvisionAttempt.objects.bulk_create(
        [
            ProvisionAttempt(
                created_at=now - timedelta(minutes=n),
                transport="HTTP",
                key=keys[0],
                device=device,
                outcome="SUCCESS",
                reason="CREATED",
            )
            for n, device in enumerate(devices)
        ]
    )
    RejectedRequest.objects.bulk_create(
        [
            RejectedRequest(
                bucket=f"bucket {n}", minute=now - timedelta(minutes=n), transport="HTTP", reason="KEY_UNKNOWN", count=1
            )
            for n in range(DEVICES)
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_filled")]


def assert_by_index(seen, *, at_least):
    assert seen.statements >= at_least
    assert not seen.scanned & TABLES


def test_new_device_is_created_by_index():
    key = creating(default_attributes=[{"key": "site", "value": "A", "scope": "SHARED_SCOPE"}])
    with plans() as seen:
        assert provision(ask(key, "new")).reason == Reason.CREATED
    assert_by_index(seen, at_least=2)


def test_new_device_under_a_key_with_a_use_limit_and_its_own_token_is_created_by_index():
    key = creating()
    ProvisioningKey.objects.filter(pk=key.pk).update(use_limit=5)
    with plans() as seen:
        assert provision(ask(key, "new", credentials=AccessToken("a-token-of-my-own"))).reason == Reason.CREATED
    assert_by_index(seen, at_least=4)


def test_repeated_request_is_answered_by_index():
    request = ask(creating(), "new", idempotency_key="one-and-the-same-key")
    provision(request)
    with plans() as seen:
        assert provision(request).reason == Reason.REPEATED
    assert_by_index(seen, at_least=3)


def test_pre_provisioned_device_is_claimed_by_index():
    key = checking("waiting", allow_own_credentials=True)
    with plans() as seen:
        assert provision(ask(key, "waiting", credentials=AccessToken("a-token-of-my-own"))).reason == Reason.CLAIMED
    assert_by_index(seen, at_least=3)


def test_wrong_guesses_are_counted_by_index():
    key = creating()
    origins = [Origin(Transport.HTTP, "192.0.2.1"), Origin(Transport.HTTP, "192.0.2.2")]
    with plans() as seen:
        rate_limits.count([Guess(origins[0]), Guess(origins[1], key)], timezone.now())
        record([Rejected(origins[0], Reason.KEY_UNKNOWN), Rejected(origins[1], Reason.SECRET_WRONG, key)], (), timezone.now())
    assert_by_index(seen, at_least=5)


@pytest.mark.parametrize(
    "presented", [PresentedToken("token-of-d7"), MqttConnect("client", "token-of-d7", "")], ids=["token", "MQTT"]
)
def test_device_is_authenticated_by_index(presented):
    with plans() as seen:
        assert authenticate(presented).name == "d7"
    assert_by_index(seen, at_least=2)


def test_stranger_is_refused_by_index():
    with plans() as seen, pytest.raises(AuthenticationFailed):
        authenticate(MqttConnect("client", "nobody", "x"))
    assert_by_index(seen, at_least=1)


def test_device_data_is_kept_by_index():
    device = Device.objects.get(name="d7")
    with plans() as seen:
        take_telemetry(device, b'{"t": 2, "new": 3}')
        take_attributes(device, b'{"a": 2}')
    assert_by_index(seen, at_least=3)


def test_old_attempts_are_pruned_by_index(settings):
    # On PostgreSQL a thousand of four thousand rows are no small part: it may hash them. So few are old.
    settings.ATTEMPTS_KEPT_DAYS = 2
    old = timezone.now() - timedelta(days=3)
    ProvisionAttempt.objects.filter(created_at__lt=timezone.now() - timedelta(days=1)).update(created_at=timezone.now())
    RejectedRequest.objects.filter(minute__lt=timezone.now() - timedelta(days=1)).update(minute=timezone.now())
    ProvisionAttempt.objects.create(created_at=old, transport="HTTP", outcome="FAILURE", reason="NAME_TAKEN")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with plans() as seen:
        assert prune_attempts() == 1
    assert_by_index(seen, at_least=2)


def test_a_scan_would_be_noticed():
    with plans() as seen:
        list(Device.objects.filter(description="x"))
    assert seen.scanned & TABLES == {"devices_device"}
