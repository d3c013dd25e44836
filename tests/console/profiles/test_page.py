"""The page of a profile and the views of its keys, without a browser."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from devices.models import Device
from profiles.models import ProvisioningKey
from profiles.services import profile_create
from provisioning.choices import Transport
from provisioning.messages import Origin, ProvisionRequest
from provisioning.services import provision_batch
from tests.support.operators import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def key():
    return profile_create(name="sensors", strategy="ALLOW_CREATE_NEW_DEVICES")[1]


def page(key):
    return reverse("admin:profiles_deviceprofile_page", args=(key.profile_id,))


def provision(key, *names):
    requests = [ProvisionRequest(Origin(Transport.HTTP), key=key.key, secret=key.secret, device_name=name) for name in names]
    return provision_batch(requests)


@pytest.mark.parametrize("group", ["Viewer", "Operator", "Administrator"])
def test_page_has_no_key_and_no_secret_before_reveal(key, group):
    text = client_of(group).get(page(key)).content.decode()

    assert key.key not in text
    assert key.secret not in text
    assert "PROVISION_DEVICE_KEY" in text


def test_reveal_shows_both_once_fills_the_snippets_and_is_recorded(key):
    client = client_of("Administrator")

    shown = client.post(reverse("admin:key_reveal", args=(key.pk,)), follow=True).content.decode()
    again = client.get(page(key)).content.decode()

    assert f'id="shown-secret-value">{key.secret}<' in shown
    assert shown.count(key.secret) > 5
    assert key.secret not in again
    entry = LogEntry.objects.get()
    assert "revealed" in entry.change_message
    assert key.secret not in entry.change_message
    assert key.key not in entry.change_message


@pytest.mark.parametrize("view", ["key_reveal", "key_rotate", "key_revoke", "key_edit"])
def test_operator_is_refused_what_belongs_to_keys(key, view):
    response = client_of("Operator").post(reverse(f"admin:{view}", args=(key.pk,)))

    assert response.status_code == 403
    key.refresh_from_db()
    assert key.revoked_at is None
    assert ProvisioningKey.objects.count() == 1


def test_rotate_makes_a_second_key_and_both_provision(key):
    client_of("Administrator").post(reverse("admin:key_rotate", args=(key.pk,)))

    second = ProvisioningKey.objects.exclude(pk=key.pk).get()
    assert [outcome.status for outcome in (*provision(key, "a"), *provision(second, "b"))] == ["SUCCESS", "SUCCESS"]


def test_revoke_names_the_number_and_blocks_only_its_own_devices_when_asked(key):
    _, other = profile_create(name="others", strategy="ALLOW_CREATE_NEW_DEVICES")
    provision(key, "a", "b")
    provision(other, "c")
    client = client_of("Administrator")
    url = reverse("admin:key_revoke", args=(key.pk,))

    assert "<strong>2 devices</strong>" in client.get(url).content.decode()
    client.post(url, {"block_devices": "on"})

    key.refresh_from_db()
    assert key.revoked_at
    assert set(Device.objects.filter(blocked=True).values_list("name", flat=True)) == {"a", "b"}
    assert LogEntry.objects.count() == 3


def test_expiry_in_the_past_is_refused_at_its_field(key):
    past = f"{timezone.now() - timedelta(days=1):%Y-%m-%dT%H:%M}"

    text = client_of("Administrator").post(reverse("admin:key_edit", args=(key.pk,)), {"expires_at": past}).content.decode()

    assert "This time is in the past." in text


def test_limit_set_in_the_browser_ends_the_key_when_it_is_reached(key):
    provision(key, "a")

    client_of("Administrator").post(reverse("admin:key_edit", args=(key.pk,)), {"use_limit": "2"})

    second, third = *provision(key, "b"), *provision(key, "c")
    assert (second.status, third.status) == ("SUCCESS", "NOT_FOUND")
    assert not Device.objects.filter(name="c").exists()
    assert "use_limit changed" in LogEntry.objects.get().change_message


def test_label_changes_alone_leave_an_expiry_of_the_past_alone(key):
    ProvisioningKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    client = client_of("Administrator")
    url = reverse("admin:key_edit", args=(key.pk,))
    shown = client.get(url).context["form"]["expires_at"].value()

    client.post(url, {"label": "factory A", "expires_at": f"{shown:%Y-%m-%dT%H:%M}"})

    changed = ProvisioningKey.objects.get()
    assert changed.label == "factory A"
    assert changed.expires_at < timezone.now()
    assert "label changed" in LogEntry.objects.get().change_message


def test_page_asks_the_database_as_often_for_one_device_as_for_many(
    key, django_assert_num_queries, django_assert_max_num_queries
):
    client = client_of("Administrator")
    provision(key, "a")
    with django_assert_max_num_queries(20) as few:
        client.get(page(key))
    provision(key, *(f"d{number}" for number in range(60)))
    with django_assert_num_queries(len(few)):
        client.get(page(key))
