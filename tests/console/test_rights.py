"""Who may see and do what in the admin."""

import contextlib
import os
import sqlite3
import subprocess
import sys

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from console.rights import RIGHTS
from devices.models import Device
from devices.services import device_create
from profiles.services import profile_create
from tests.support.operators import PASSWORD, client_of, operator
from tests.support.web import ROOT

pytestmark = pytest.mark.django_db

GRANTED = """
SELECT auth_group.name, app_label || '.' || codename
FROM auth_group
JOIN auth_group_permissions ON auth_group_permissions.group_id = auth_group.id
JOIN auth_permission ON auth_permission.id = auth_group_permissions.permission_id
JOIN django_content_type ON django_content_type.id = auth_permission.content_type_id
"""


@pytest.fixture
def device():
    profile, _ = profile_create(name="sensors", strategy="ALLOW_CREATE_NEW_DEVICES")
    return device_create(name="DHT11-1", profile=profile)


def act(client, name, device, **more):
    values = {"action": name, "_selected_action": [str(device.pk)], "confirmed": "1", **more}
    return client.post(reverse("admin:devices_device_changelist"), values)


def test_migrations_make_the_three_groups_with_their_rights_and_no_others(tmp_path):
    # On a database of its own: in that of the tests, rights that no migration granted are granted by `operator`.
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment["FIRSTLIGHT_DATA"] = str(tmp_path)
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "firstlight.sqlite3")) as database:
        granted = set(database.execute(GRANTED))

    assert granted == {(name, right) for name, rights in RIGHTS.items() for right in rights}


def test_viewer_sees_the_device_but_no_secret_and_may_not_reveal(device):
    client = client_of("Viewer")

    page = client.get(reverse("admin:devices_device_page", args=(device.pk,)))
    refused = client.post(reverse("admin:devices_device_reveal", args=(device.pk,)))

    assert page.status_code == 200
    assert device.credentials.value not in page.content.decode()
    assert refused.status_code == 403
    assert not LogEntry.objects.exists()


def test_operator_reveals_and_it_is_recorded_without_the_secret(device):
    client = client_of("Operator")

    page = client.get(reverse("admin:devices_device_page", args=(device.pk,)))
    answer = client.post(reverse("admin:devices_device_reveal", args=(device.pk,)))

    assert device.credentials.value not in page.content.decode()
    assert answer.json() == {"values": [["Access token", device.credentials.value]]}
    assert "no-store" in answer["Cache-Control"]
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id, entry.change_message) == ("operator", str(device.pk), "Credentials revealed.")


def test_viewer_may_not_act(device):
    client = client_of("Viewer")

    act(client, "block", device)

    assert not Device.objects.get().blocked


def test_action_asks_with_the_number_then_acts_and_is_logged(device):
    client = client_of("Operator")

    question = act(client, "block", device, confirmed=[])
    assert "Block 1 device?" in question.content.decode()
    assert not Device.objects.get().blocked

    act(client, "block", device)
    assert Device.objects.get().blocked
    assert LogEntry.objects.get().change_message == "Blocked."


def test_action_on_all_that_match_reaches_those_beyond_the_page(device):
    Device.objects.bulk_create([Device(name=f"more-{number}", profile=device.profile) for number in range(120)])
    client = client_of("Operator")

    response = client.post(
        reverse("admin:devices_device_changelist") + "?q=more",
        {"action": "block", "_selected_action": [str(Device.objects.last().pk)], "select_across": "1", "confirmed": "1"},
    )

    assert response.status_code == 302
    assert Device.objects.filter(blocked=True).count() == 120
    assert LogEntry.objects.count() == 120


def test_delete_is_logged_as_deletion(device):
    act(client_of("Operator"), "delete", device)

    assert not Device.objects.exists()
    assert LogEntry.objects.get().is_deletion()


def test_operator_sees_no_users_and_administrator_does():
    url = reverse("admin:auth_user_changelist")
    assert client_of("Operator").get(url).status_code == 403
    assert client_of("Administrator").get(url).status_code == 200


def test_sixth_failed_login_is_locked_out_even_with_the_right_password():
    operator("Viewer")
    client = Client()
    login = reverse("admin:login")
    for _ in range(5):
        client.post(login, {"username": "viewer", "password": "wrong"})

    response = client.post(login, {"username": "viewer", "password": PASSWORD})

    assert response.status_code == 429
    assert "locked out" in response.content.decode()


def test_viewer_does_not_see_who_revealed_what(device):
    operator_client = client_of("Operator")
    operator_client.post(reverse("admin:devices_device_reveal", args=(device.pk,)))
    history = reverse("admin:devices_device_history", args=(device.pk,))
    page = reverse("admin:devices_device_page", args=(device.pk,))

    assert "Credentials revealed." in operator_client.get(history).content.decode()
    assert history in operator_client.get(page).content.decode()
    viewer = client_of("Viewer")
    assert viewer.get(history).status_code == 403
    assert history not in viewer.get(page).content.decode()
    assert viewer.get(reverse("admin:admin_logentry_changelist")).status_code == 403
    profile_history = reverse("admin:profiles_deviceprofile_history", args=(device.profile_id,))
    assert viewer.get(profile_history).status_code == 403
