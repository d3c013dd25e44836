"""The profile wizard, without a browser."""

import json
import re

import pytest
from django.contrib.sessions.models import Session
from django.urls import reverse

from profiles.models import DeviceProfile, ProvisioningKey
from profiles.services import profile_create
from tests.support.operators import client_of

pytestmark = pytest.mark.django_db

URL = "admin:profiles_deviceprofile_add"
DETAILS = {
    "details-name": "Sensor",
    "details-description": "of the hall",
    "attributes-TOTAL_FORMS": "3",
    "attributes-INITIAL_FORMS": "0",
    "attributes-0-key": "limit",
    "attributes-0-value": "21.5",
    "attributes-0-scope": "SHARED_SCOPE",
    "attributes-1-key": "room",
    "attributes-1-value": "B 12",
    "attributes-1-scope": "SERVER_SCOPE",
    "attributes-2-key": "",
    "attributes-2-value": "",
    "attributes-2-scope": "SERVER_SCOPE",
}
PERMISSIONS = {
    "permissions-allow_x509": "on",
    "permissions-min_token_length": "12",
    "permissions-retry_window_s": "0",
    "permissions-topic_pattern": "plant/{device_name}/#",
}
SECRET = "a-secret-of-the-tests"
PROVISIONING = {
    "provisioning-strategy": "CHECK_PRE_PROVISIONED_DEVICES",
    "provisioning-key": "a-key-of-the-tests-1",
    "provisioning-secret": SECRET,
}


@pytest.fixture
def client():
    client = client_of("Administrator")
    client.get(reverse(URL))
    return client


def send(client, step, values, **more):
    return client.post(reverse(URL), {"profile_wizard-current_step": step, **values, **more})


def test_three_steps_make_the_profile_with_typed_attributes_and_its_key(client):
    send(client, "details", DETAILS)
    send(client, "permissions", PERMISSIONS)
    response = send(client, "provisioning", PROVISIONING)

    profile = DeviceProfile.objects.get()
    key = ProvisioningKey.objects.get()
    assert response.url == reverse("admin:profiles_deviceprofile_page", args=(profile.pk,))
    assert profile.default_attributes == [
        {"key": "limit", "value": 21.5, "scope": "SHARED_SCOPE"},
        {"key": "room", "value": "B 12", "scope": "SERVER_SCOPE"},
    ]
    assert (profile.allow_x509, profile.allow_access_token, profile.min_token_length) == (True, False, 12)
    assert profile.topic_pattern == "plant/{device_name}/#"
    assert (profile.strategy, key.key, key.secret) == ("CHECK_PRE_PROVISIONED_DEVICES", "a-key-of-the-tests-1", SECRET)
    shown = client.get(response.url).content.decode()
    assert SECRET in shown


def test_back_keeps_even_what_is_not_right_yet(client):
    send(client, "details", DETAILS)
    send(client, "permissions", PERMISSIONS)
    back = send(client, "provisioning", PROVISIONING | {"provisioning-key": "short"}, wizard_goto_step="permissions")
    first = send(client, "permissions", PERMISSIONS, wizard_goto_step="details").content.decode()

    assert 'value="12"' in back.content.decode()
    assert 'value="B 12"' in first
    send(client, "details", DETAILS)
    again = send(client, "permissions", PERMISSIONS).content.decode()
    assert 'value="short"' in again
    assert "It needs 16 to 255 characters." in again


def test_secret_is_in_no_session(client):
    send(client, "details", DETAILS)
    send(client, "permissions", PERMISSIONS)
    send(client, "provisioning", PROVISIONING, wizard_goto_step="details")

    assert Session.objects.exists()
    assert all(SECRET not in json.dumps(session.get_decoded()) for session in Session.objects.all())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"details-name": ""}, "A profile needs a name."),
        ({"details-name": "taken"}, "A profile with this name already exists."),
        ({"attributes-0-key": ""}, "The value needs a key."),
        ({"attributes-1-key": "limit", "attributes-1-scope": "SHARED_SCOPE"}, "occurs twice"),
    ],
)
def test_wrong_details_are_errors_at_once(client, change, error):
    profile_create(name="taken", strategy="DISABLED")

    text = send(client, "details", DETAILS | change).content.decode()

    assert error in text
    assert "details-name" in text


@pytest.mark.parametrize("pattern", ["plant/#", "v1/devices/me/{device_id}", "plant/{serial}/#", "plant/+/{device_id}"])
def test_unusable_topic_pattern_is_an_error_at_once(client, pattern):
    send(client, "details", DETAILS)

    text = send(client, "permissions", PERMISSIONS | {"permissions-topic_pattern": pattern}).content.decode()

    assert "permissions-topic_pattern" in text
    assert "id_permissions-topic_pattern_error" in text


def test_key_in_use_is_refused_and_nothing_is_made(client):
    profile_create(name="other", strategy="DISABLED", key=PROVISIONING["provisioning-key"])
    send(client, "details", DETAILS)
    send(client, "permissions", PERMISSIONS)

    text = send(client, "provisioning", PROVISIONING).content.decode()

    assert "This key already exists." in text
    assert DeviceProfile.objects.count() == 1


def focused(response):
    return re.findall(r'<(?:input|textarea|select)[^>]*name="([^"]*)"[^>]* autofocus', response.content.decode())


def test_keyboard_begins_at_the_first_field_and_after_an_error_there(client):
    assert focused(client.get(reverse(URL))) == ["details-name"]
    assert focused(send(client, "details", DETAILS | {"attributes-1-key": ""})) == ["attributes-1-key"]
    assert focused(send(client, "details", DETAILS)) == ["permissions-allow_access_token"]
    assert focused(send(client, "permissions", PERMISSIONS | {"permissions-retry_window_s": "-1"})) == [
        "permissions-retry_window_s"
    ]
    assert focused(send(client, "permissions", PERMISSIONS)) == ["provisioning-strategy"]
    assert focused(send(client, "provisioning", PROVISIONING | {"provisioning-secret": "short"})) == ["provisioning-secret"]


def test_operator_may_not_add_profiles():
    assert client_of("Operator").get(reverse(URL)).status_code == 403


def test_wizard_that_stays_open_over_a_dropped_encryption_key_asks_again(client, settings):
    send(client, "details", DETAILS)
    send(client, "permissions", PERMISSIONS)
    settings.ENCRYPTION_KEYS = ["BhKPHk4w0lZqWZoDbV1oJ5vS0cD7mO6b2cYc8w0Q3zE="]

    assert client.get(reverse(URL)).status_code == 200
    send(client, "details", DETAILS)
    send(client, "details", {}, wizard_goto_step="permissions")
    settings.ENCRYPTION_KEYS = ["zW0n3mRr2bq3J4n0l7rC9yVn1m1zq3Xk2c8oS5d6e7Y="]
    response = send(client, "provisioning", PROVISIONING)

    assert response.status_code == 200
    assert "can no longer be read" in response.content.decode()
    assert not DeviceProfile.objects.exists()
