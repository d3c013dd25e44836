"""A device name with invisible or look-alike characters is marked on every page that lists it; for imports see imports/."""

import pytest
from django.urls import reverse

from devices.models import Device
from provisioning.models import ProvisionAttempt
from tests.support.operators import client_of
from tests.support.provisioning import ask, creating, provision

pytestmark = pytest.mark.django_db

MARK = "misleading name"
NAMES = [("DHT11-1", False), ("DHT1\u0456-1", True), ("DHT11-1\u200b", True)]


@pytest.mark.parametrize(("name", "marked"), NAMES)
def test_name_of_a_device_is_marked_in_devices_and_attempts(name, marked):
    client = client_of("Viewer")
    provision(ask(creating(), name))
    device, attempt = Device.objects.get(), ProvisionAttempt.objects.get()
    pages = [
        reverse("admin:devices_device_changelist"),
        reverse("admin:devices_device_page", args=(device.pk,)),
        reverse("admin:provisioning_provisionattempt_changelist"),
        reverse("admin:provisioning_provisionattempt_change", args=(attempt.pk,)),
    ]

    for page in pages:
        text = client.get(page).content.decode()
        assert name in text
        assert (MARK in text) == marked, page
