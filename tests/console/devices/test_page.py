"""The page of a device, without a browser."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from devices.bulk_services import devices_replace
from devices.models import Device
from devices.services import Reading, client_attributes_save, device_create, device_reset_provisioning, telemetry_save
from events.models import Event
from profiles.models import ProvisioningKey
from profiles.services import profile_create
from tests.support.operators import client_of
from tests.support.provisioning import ask, checking, creating, provision

pytestmark = pytest.mark.django_db


@pytest.fixture
def device():
    profile, _ = profile_create(name="sensors", strategy="ALLOW_CREATE_NEW_DEVICES")
    return device_create(name="DHT11-1", profile=profile)


def page(device):
    return reverse("admin:devices_device_page", args=(device.pk,))


def test_values_stand_as_devices_sent_them(device):
    client_attributes_save(device=device, values={"firmware": "1.2", "door": {"open": True}})
    telemetry_save(device=device, readings=[Reading("alarm", False, timezone.now())])

    text = client_of("Viewer").get(page(device)).content.decode()

    assert "<td>1.2</td>" in text
    assert "<td>{&quot;open&quot;: true}</td>" in text
    assert "<td>false</td>" in text


def test_device_without_credentials_says_so_and_has_nothing_to_reveal(device):
    device.credentials.delete()
    client = client_of("Operator")

    assert "None yet. The device gets them when it provisions." in client.get(page(device)).content.decode()
    assert client.post(reverse("admin:devices_device_reveal", args=(device.pk,))).status_code == 404


def test_reveal_counts_as_handed_out(device):
    assert device.credentials.handed_out_at is None

    client_of("Administrator").post(reverse("admin:devices_device_reveal", args=(device.pk,)))

    device.credentials.refresh_from_db()
    assert device.credentials.handed_out_at is not None


def test_unknown_device_is_not_found_and_staff_without_rights_is_refused(device, django_user_model, client):
    user = django_user_model.objects.create_user("nobody", "", "x", is_staff=True)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(page(device)).status_code == 403

    Device.objects.all().delete()
    assert client_of("Viewer").get(page(device)).status_code == 404


def test_name_that_misleads_the_eye_is_pointed_out(device):
    client = client_of("Viewer")
    assert "look alike" not in client.get(page(device)).content.decode()

    Device.objects.update(name="DHT1\u0456-1\u200b")

    text = client.get(page(device)).content.decode()
    assert "U+200B ZERO WIDTH SPACE" in text
    assert "Latin and Cyrillic" in text


def test_shared_attribute_is_set_and_deleted_with_its_event(device):
    client = client_of("Operator")
    url = reverse("admin:devices_device_shared_attribute", args=(device.pk,))

    client.post(url, {"key": "interval", "value": "30", "set": ""})
    assert device.attributes.get(scope="SHARED_SCOPE", key="interval").value == 30
    client.post(url, {"key": "interval", "value": "", "delete": ""})

    assert not device.attributes.filter(key="interval").exists()
    assert Event.objects.filter(kind="attributes.changed", device_id=device.pk).count() == 2
    assert "Shared attribute interval set." in set(LogEntry.objects.values_list("change_message", flat=True))


@pytest.mark.parametrize("fields", [{"key": "", "value": "1"}, {"key": "a", "value": ""}, {"key": "a\x01", "value": "1"}])
def test_shared_attribute_that_does_not_fit_is_refused_with_a_message(device, fields):
    answer = client_of("Operator").post(
        reverse("admin:devices_device_shared_attribute", args=(device.pk,)), fields | {"set": ""}, follow=True
    )

    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert not device.attributes.filter(scope="SHARED_SCOPE").exists()


def test_viewer_sets_no_shared_attribute(device):
    answer = client_of("Viewer").post(
        reverse("admin:devices_device_shared_attribute", args=(device.pk,)), {"key": "a", "value": "1", "set": ""}
    )

    assert answer.status_code == 403


def fail(name, key, times=1, **fields):
    for _ in range(times):
        provision(ask(key, name, **fields))


def test_attempts_that_failed_under_its_name_are_on_the_page():
    key = creating(name="meters")
    fail("DHT11-2", checking(), address="198.51.100.7")  # unknown there
    assert provision(ask(key, "DHT11-2")).status == "SUCCESS"

    text = client_of("Viewer").get(page(Device.objects.get(name="DHT11-2"))).content.decode()

    assert "198.51.100.7" in text
    assert "attempts have failed" not in text


def test_repeated_failure_since_the_last_success_is_shown_with_its_reason(device):
    key = ProvisioningKey.objects.get()
    device_reset_provisioning(device=device)
    fail("DHT11-1", key, times=2)
    client = client_of("Viewer")
    assert "attempts have failed" not in client.get(page(device)).content.decode()

    fail("DHT11-1", key)

    text = client.get(page(device)).content.decode()
    assert "3 attempts have failed since" in text
    assert "Last reason: A device with this name already exists." in text


def test_a_suspected_second_device_is_shown_until_the_device_provisions_once_more():
    key = checking("DHT11-3")
    device = Device.objects.get()
    provision(ask(key, "DHT11-3"))
    Device.objects.update(first_used_at=timezone.now())
    fail("DHT11-3", key, address="198.51.100.7")
    client = client_of("Viewer")

    text = client.get(page(device)).content.decode()
    assert "A second device may be using this identity." in text
    assert "from 198.51.100.7" in text

    devices_replace(devices=Device.objects.all())
    assert provision(ask(key, "DHT11-3")).status == "SUCCESS"
    assert "A second device may be using" not in client.get(page(device)).content.decode()


def test_a_search_without_a_hit_offers_attempts_and_rejected_requests():
    text = client_of("Viewer").get("/admin/devices/device/?q=DHT11-%3C9").content.decode()

    assert "No device matches “DHT11-&lt;9”." in text
    assert "/admin/provisioning/provisionattempt/?q=DHT11-%3C9" in text
    assert "/admin/provisioning/rejectedrequest/?q=DHT11-%3C9" in text
