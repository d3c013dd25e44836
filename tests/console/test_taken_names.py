"""A name that was free when the form was validated, and is taken when it is saved."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from devices.models import Device
from devices.services import device_create
from profiles.models import DeviceProfile
from profiles.services import profile_create
from tests.support.operators import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def profile(monkeypatch):
    made, _ = profile_create(name="sensors", strategy="DISABLED")
    profile_create(name="taken", strategy="DISABLED")
    device_create(name="taken", profile=made)
    # A query does not see the other transaction yet: only the database's constraint does.
    for model in (Device, DeviceProfile):
        monkeypatch.setattr(model, "validate_unique", lambda *_, **__: None)
    return made


def told_at_its_field(response):
    return response.status_code == 200 and "already exists" in str(response.context["adminform"].form.errors["name"])


def test_name_of_a_new_device_taken_meanwhile_is_an_error_at_its_field(profile):
    typed = {"name": "taken", "profile": profile.pk, "label": "typed before"}

    response = client_of("Operator").post(reverse("admin:devices_device_add"), typed)

    assert told_at_its_field(response)
    assert "typed before" in response.content.decode()
    assert Device.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_name_of_an_edited_device_taken_meanwhile_is_an_error_at_its_field(profile):
    device = device_create(name="other", profile=profile)
    url = reverse("admin:devices_device_change", args=(device.pk,))

    assert told_at_its_field(client_of("Operator").post(url, {"name": "taken", "profile": profile.pk}))
    assert Device.objects.get(pk=device.pk).name == "other"


def test_name_of_an_edited_profile_taken_meanwhile_is_an_error_at_its_field(profile):
    url = reverse("admin:profiles_deviceprofile_change", args=(profile.pk,))
    typed = {"name": "taken", "strategy": "DISABLED", "min_token_length": 8, "retry_window_s": 0, "default_attributes": "[]"}
    typed["max_gateway_children"] = DeviceProfile._meta.get_field("max_gateway_children").default

    assert told_at_its_field(client_of("Administrator").post(url, typed))
    assert DeviceProfile.objects.get(pk=profile.pk).name == "sensors"
