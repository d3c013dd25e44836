"""Which failed attempts have a fix, and what it does."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from console.attempts.fixes import Fix, apply_fix, distinct_fixes, fix_for, sentence_of, with_fix_state
from devices.bulk_services import devices_block
from devices.models import Device
from devices.services import device_create
from profiles.models import ProvisioningKey
from profiles.services import key_revoke, profile_create
from provisioning.choices import ProvisionStatus, Transport
from provisioning.messages import Origin, ProvisionRequest
from provisioning.models import ProvisionAttempt
from provisioning.services import provision_batch

pytestmark = pytest.mark.django_db


@pytest.fixture
def key():
    return profile_create(name="gateways", strategy="CHECK_PRE_PROVISIONED_DEVICES")[1]


def ask(key, name="GW-1"):
    return provision_batch([ProvisionRequest(Origin(Transport.HTTP), key=key.key, secret=key.secret, device_name=name)])[0]


def latest():
    return with_fix_state(ProvisionAttempt.objects.all()).latest("created_at", "id")


def offered():
    found = fix_for(latest(), timezone.now())
    return found.fix if found else None


def test_unknown_name_is_added_and_then_provisions(key):
    assert ask(key).status == ProvisionStatus.FAILURE
    assert offered() == Fix.ADD_DEVICE

    apply_fix(attempt=latest())

    assert offered() is None
    assert ask(key).status == ProvisionStatus.SUCCESS


def test_provisioned_device_is_reset_and_provisions_once_more(key):
    device_create(name="GW-1", profile=key.profile)
    ask(key)
    assert ask(key).status == ProvisionStatus.FAILURE
    assert offered() == Fix.RESET_DEVICE

    apply_fix(attempt=latest())

    assert ask(key).status == ProvisionStatus.SUCCESS


def test_suspected_second_device_is_offered_no_fix(key):
    device_create(name="GW-1", profile=key.profile)
    ask(key)
    Device.objects.update(first_used_at=timezone.now())

    assert ask(key).status == ProvisionStatus.FAILURE
    assert offered() is None


def test_blocked_device_is_offered_no_fix(key):
    device_create(name="GW-1", profile=key.profile)
    ask(key)
    ask(key)
    devices_block(devices=Device.objects.all())

    assert offered() is None


def test_expired_key_is_extended_and_works_again(key):
    device_create(name="GW-1", profile=key.profile)
    ProvisioningKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert ask(key).status == ProvisionStatus.NOT_FOUND
    assert offered() == Fix.EXTEND_KEY

    apply_fix(attempt=latest())

    assert ask(key).status == ProvisionStatus.SUCCESS


def test_expired_and_revoked_key_is_offered_no_fix(key):
    ProvisioningKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    ask(key)
    key_revoke(key=key)

    assert offered() is None
    with pytest.raises(ValidationError):
        apply_fix(attempt=latest())


def test_an_older_failure_is_offered_no_fix_after_a_success(key):
    device_create(name="GW-1", profile=key.profile)
    ask(key)
    ask(key)  # fails: no retry id
    apply_fix(attempt=latest())
    assert ask(key).status == ProvisionStatus.SUCCESS

    failure = with_fix_state(ProvisionAttempt.objects.filter(outcome=ProvisionStatus.FAILURE)).get()

    assert fix_for(failure, timezone.now()) is None
    with pytest.raises(ValidationError):
        apply_fix(attempt=failure)


def test_a_device_that_works_is_not_reset(key):
    device_create(name="GW-1", profile=key.profile)
    ask(key)
    ask(key)
    assert offered() == Fix.RESET_DEVICE

    Device.objects.update(first_used_at=timezone.now())

    assert offered() is None


def test_many_attempts_of_one_name_are_one_fix(key):
    for name in ("GW-1", "GW-1", "GW-2"):
        ask(key, name)

    found = distinct_fixes(with_fix_state(ProvisionAttempt.objects.all()), timezone.now())

    assert sorted(sentence_of(*one) for one in found) == ["Add GW-1 to gateways", "Add GW-2 to gateways"]
