"""What operators do to one device or to many."""

import pytest

from devices.authentication import AuthenticationFailed, PresentedToken, authenticate
from devices.bulk_services import (
    CHUNK,
    devices_block,
    devices_delete,
    devices_move,
    devices_reissue_credentials,
    devices_reset_provisioning,
    devices_unblock,
)
from devices.models import Device, DeviceAttribute, DeviceCredentials
from devices.services import device_create, device_update
from profiles.services import profile_create
from provisioning.choices import Transport
from provisioning.messages import Origin, ProvisionRequest
from provisioning.services import provision_batch

pytestmark = pytest.mark.django_db


@pytest.fixture
def key():
    return profile_create(name="sensors", strategy="ALLOW_CREATE_NEW_DEVICES")[1]


@pytest.fixture
def device(key):
    provision_batch([ProvisionRequest(Origin(Transport.HTTP), key=key.key, secret=key.secret, device_name="DHT11-1")])
    return Device.objects.get()


def token_of(device):
    return DeviceCredentials.objects.get(device=device).value


def test_block_refuses_the_next_message_and_unblock_takes_it_again(device):
    assert devices_block(devices=Device.objects.all()) == 1
    assert devices_block(devices=Device.objects.all()) == 0

    with pytest.raises(AuthenticationFailed):
        authenticate(PresentedToken(token_of(device)))

    assert devices_unblock(devices=Device.objects.all()) == 1
    assert authenticate(PresentedToken(token_of(device))) == device


def test_reset_makes_pre_provisioned_again_and_keeps_the_credentials(device):
    token = token_of(device)

    assert devices_reset_provisioning(devices=Device.objects.all()) == 1

    device.refresh_from_db()
    assert (device.provisioned_at, device.provisioned_with, device.retry_id) == (None, None, "")
    assert not DeviceAttribute.objects.filter(key="provisionState").exists()
    assert authenticate(PresentedToken(token)) == device


def test_reissue_ends_the_old_token_and_opens_no_retry(device):
    old = token_of(device)

    assert devices_reissue_credentials(devices=Device.objects.all()) == 1

    assert token_of(device) != old
    with pytest.raises(AuthenticationFailed):
        authenticate(PresentedToken(old))
    assert authenticate(PresentedToken(token_of(device))) == device
    device.refresh_from_db()
    assert device.retry_id == ""


def test_reissue_of_more_than_a_chunk_gives_each_its_own_token(key):
    Device.objects.bulk_create([Device(name=f"d{number}", profile=key.profile) for number in range(CHUNK + 3)])

    assert devices_reissue_credentials(devices=Device.objects.order_by("-name")) == CHUNK + 3

    assert len(set(DeviceCredentials.objects.values_list("credentials_id", flat=True))) == CHUNK + 3


def test_move_counts_those_that_were_elsewhere(device):
    other, _ = profile_create(name="gateways", strategy="DISABLED")

    assert devices_move(devices=Device.objects.all(), profile=other) == 1
    assert devices_move(devices=Device.objects.all(), profile=other) == 0
    assert Device.objects.get().profile == other


def test_delete_takes_what_belongs_to_the_device_and_leaves_its_attempts(device):
    assert devices_delete(devices=Device.objects.filter(name="DHT11-1")) == 1

    assert not DeviceCredentials.objects.exists()
    assert not DeviceAttribute.objects.exists()
    assert device.provisioned_with.attempts.get().device_name == "DHT11-1"


def test_update_names_only_what_changed(key):
    device = device_create(name="a", profile=key.profile, label="one")

    assert device_update(device=device, label="two", description="") == ["label"]
    assert Device.objects.get().label == "two"
