"""What operators do to profiles and their keys."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from devices.services import device_create
from profiles.models import DeviceProfile, ProvisioningKey
from profiles.services import key_extend, key_revoke, key_rotate, key_update, profile_create, profile_delete, profile_update

pytestmark = pytest.mark.django_db


@pytest.fixture
def key():
    return profile_create(name="sensors", strategy="ALLOW_CREATE_NEW_DEVICES")[1]


def test_rotate_makes_a_second_key_and_leaves_the_first_alive(key):
    second = key_rotate(key=key)

    key.refresh_from_db()
    assert second.profile == key.profile
    assert second.key != key.key
    assert second.secret != key.secret
    assert (key.revoked_at, second.revoked_at) == (None, None)


def test_extend_moves_the_expiry_but_never_revives_a_revoked_key(key):
    until = timezone.now() + timedelta(days=1)

    assert key_extend(key=key, until=until)
    key.refresh_from_db()
    assert key.expires_at == until

    key_revoke(key=key)
    assert not key_extend(key=key, until=None)


def test_update_of_a_revoked_key_changes_its_label_and_never_its_expiry(key):
    key_revoke(key=key)

    assert key_update(key=key, label="leaked", expires_at=None, use_limit=None) == ["label"]
    with pytest.raises(ValidationError):
        key_update(key=key, label="again", expires_at=timezone.now() + timedelta(days=1), use_limit=None)
    key.refresh_from_db()
    assert (key.label, key.expires_at) == ("leaked", None)


def test_first_limit_begins_with_the_devices_that_there_are(key):
    for name in ("a", "b"):
        device_create(name=name, profile=key.profile, provisioned_with=key)
    keep = {"key": key, "label": "", "expires_at": None}

    with pytest.raises(ValidationError, match="used 2 times"):
        key_update(**keep, use_limit=1)
    assert key_update(**keep, use_limit=2) == ["use_limit"]
    key.refresh_from_db()
    assert (key.use_limit, key.uses, key.is_used_up) == (2, 2, True)


def test_limit_that_moves_goes_on_counting_where_it_was(key):
    ProvisioningKey.objects.update(use_limit=5, uses=3)
    keep = {"key": key, "label": "", "expires_at": None}

    key_update(**keep, use_limit=9)
    key.refresh_from_db()
    assert (key.use_limit, key.uses) == (9, 3)
    with pytest.raises(ValidationError, match="used 3 times"):
        key_update(**keep, use_limit=2)
    assert key_update(**keep, use_limit=None) == ["use_limit"]


def test_extend_into_the_past_is_refused(key):
    with pytest.raises(ValidationError):
        key_extend(key=key, until=timezone.now() - timedelta(seconds=1))


def test_update_refused_changes_nothing(key):
    profile_create(name="taken", strategy="DISABLED")

    with pytest.raises(ValidationError):
        profile_update(profile=key.profile, name="taken", description="new")

    stored = DeviceProfile.objects.get(pk=key.profile_id)
    assert (stored.name, stored.description) == ("sensors", "")


def test_update_names_only_what_changed(key):
    assert profile_update(profile=key.profile, name="sensors", description="new") == ["description"]


def test_delete_is_refused_while_there_are_devices(key):
    device = device_create(name="a", profile=key.profile)
    with pytest.raises(ValidationError):
        profile_delete(profile=key.profile)

    device.delete()
    profile_delete(profile=key.profile)
    assert not DeviceProfile.objects.exists()
