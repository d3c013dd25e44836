"""The dashboard: its numbers, and what it says needs attention."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from console.dashboard.chart import attempts_chart
from console.dashboard.dashboard import concerns
from devices.models import Device
from devices.services import device_create
from profiles.models import ProvisioningKey
from profiles.services import profile_create
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import ProvisionAttempt
from provisioning.selectors import attempts_by_hour
from tests.support.operators import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def key():
    return profile_create(name="sensors", strategy="CHECK_PRE_PROVISIONED_DEVICES")[1]


def attempt(key, outcome, **fields):
    return ProvisionAttempt(profile=key.profile, key=key, outcome=outcome, transport="HTTP", **fields)


def test_nothing_wrong_leaves_nothing_to_attend_to(key):
    assert concerns(timezone.now()) == []


def test_each_concern_is_named(key):
    now = timezone.now()
    ProvisioningKey.objects.update(label="spring", expires_at=now + timedelta(days=3))
    device_create(name="GW-1", profile=key.profile, created_at=now - timedelta(days=40))
    ProvisionAttempt.objects.bulk_create(
        [attempt(key, "FAILURE", reason=Reason.DEVICE_UNKNOWN) for _ in range(5)]
        + [attempt(key, "FAILURE", reason=Reason.SECOND_DEVICE, device_name="GW-9")]
    )

    texts = [concern.text for concern in concerns(now)]

    assert "identity of GW-9" in texts[0]
    assert texts[1] == "sensors: 6 of 6 attempts of the last day failed."
    assert texts[2].startswith("spring of sensors expires on ")
    assert texts[3] == "1 device pre-provisioned for more than 30 days and not provisioned yet."


def test_chart_counts_each_attempt_in_its_hour(key):
    now = timezone.now()
    rows = [attempt(key, "SUCCESS", reason=Reason.CREATED, created_at=now) for _ in range(3)]
    rows += [attempt(key, "FAILURE", reason=Reason.NAME_TAKEN, created_at=now - timedelta(hours=2))]
    rows += [attempt(key, "FAILURE", reason=Reason.NAME_TAKEN, created_at=now - timedelta(hours=30))]
    ProvisionAttempt.objects.bulk_create(rows)

    hours = attempts_by_hour(now=now, hours=24)
    chart = attempts_chart(hours)

    assert hours[-1].counts[ProvisionStatus.SUCCESS] == 3
    assert hours[-3].counts[ProvisionStatus.FAILURE] == 1
    assert (chart.total, len(chart.bars)) == (4, 2)


def test_page_has_numbers_processes_and_nothing_inline(key):
    Device.objects.bulk_create([Device(name=f"d{number}", profile=key.profile) for number in range(7)])

    text = client_of("Viewer").get(reverse("admin:index")).content.decode()

    assert '<span class="fl-number">7</span>' in text
    assert "MQTT bridge" in text
    assert " style=" not in text
    assert "<style" not in text


def test_staff_without_a_group_sees_no_number(django_user_model, client, key):
    user = django_user_model.objects.create_user("nobody", "", "x", is_staff=True)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    text = client.get(reverse("admin:index")).content.decode()

    assert "You have no permissions yet." in text
    assert "fl-number" not in text
