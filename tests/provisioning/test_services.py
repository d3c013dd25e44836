"""provision_batch: every row of protocol.md's tables."""

import pytest

from devices.models import Device
from profiles.services import profile_create
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.messages import Origin, ProvisionRequest
from provisioning.models import ProvisionAttempt
from provisioning.services import provision_batch

pytestmark = pytest.mark.django_db(transaction=True)


def test_new_name_creates_device_with_credentials_attribute_and_attempt():
    _, key = profile_create(name="sensors", strategy="ALLOW_CREATE_NEW_DEVICES")
    request = ProvisionRequest(Origin(Transport.HTTP, "192.0.2.1"), key=key.key, secret=key.secret, device_name=" DHT11-1 ")

    (outcome,) = provision_batch([request])

    device = Device.objects.get()
    assert (outcome.status, outcome.reason, outcome.device_id) == (ProvisionStatus.SUCCESS, Reason.CREATED, device.pk)
    assert device.name == "DHT11-1"
    assert device.credentials.value == outcome.credentials.token
    assert device.attributes.get(key="provisionState").value == "provisioned"
    assert ProvisionAttempt.objects.get().device == device
