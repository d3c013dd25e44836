"""The keys of a batch are those of the database at this moment, whole, by whatever way they are read."""

from datetime import timedelta

import pytest
from django.forms.models import model_to_dict
from django.utils import timezone

from profiles.models import DeviceProfile, ProvisioningKey
from provisioning.keys import keys_of
from tests.support.provisioning import ask, creating

pytestmark = pytest.mark.django_db


def test_key_and_profile_are_read_whole():
    attributes = [{"key": "batch", "value": {"n": [1.5, None]}, "scope": "SERVER_SCOPE"}]
    key = creating(default_attributes=attributes, name_pattern="DHT11-*", retry_window_s=5)
    ProvisioningKey.objects.update(expires_at=timezone.now() + timedelta(days=1), use_limit=3, uses=1, label="factory A")
    expected = ProvisioningKey.objects.select_related("profile").get()

    (read,) = keys_of([ask(key, "a"), ask(key, "b")]).values()

    for one, other in ((read, expected), (read.profile, expected.profile)):
        columns = [field.attname for field in one._meta.concrete_fields]
        assert [getattr(one, name) for name in columns] == [getattr(other, name) for name in columns]
        assert model_to_dict(one) == model_to_dict(other)
    assert read.secret == key.secret
    assert not read._state.adding
    assert read.profile.default_attributes == attributes


def test_keys_are_read_from_the_database_each_time():
    key = creating()
    assert keys_of([ask(key)])[key.key].revoked_at is None
    ProvisioningKey.objects.update(revoked_at=timezone.now())
    DeviceProfile.objects.update(strategy="DISABLED")

    read = keys_of([ask(key)])[key.key]
    assert read.revoked_at is not None
    assert read.profile.strategy == "DISABLED"


@pytest.mark.parametrize("text", ["", "\0", "a\x00b", "k" * 256, "unknown", "'); --", "%s", "\ud800"])
def test_what_is_no_key_finds_none(text):
    creating()
    request = ask(ProvisioningKey(key=text, secret="s"), "a")

    assert keys_of([request]) == {}
