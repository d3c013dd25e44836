"""The strategy "Check for pre-provisioned devices": every row of its table in docs/protocol.md."""

import pytest

from devices.credentials import AccessToken, MqttBasic, X509Certificate
from devices.models import Device, DeviceCredentials
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import ProvisionAttempt
from tests.support.provisioning import ask, assert_refused, certificate_text, checking, provision

pytestmark = pytest.mark.django_db
NOT_FOUND, FAILURE, SUCCESS = ProvisionStatus.NOT_FOUND, ProvisionStatus.FAILURE, ProvisionStatus.SUCCESS


def test_pre_provisioned_device_gets_its_stored_credentials():
    key = checking("a")
    token = DeviceCredentials.objects.get().value

    outcome = provision(ask(key, " a ", credentials=AccessToken("chosen-token"), gateway=True))

    device = Device.objects.get()
    assert (outcome.status, outcome.reason, outcome.device_id) == (SUCCESS, Reason.CLAIMED, device.pk)
    assert outcome.credentials == AccessToken(token)
    assert device.credentials.value == token
    assert (device.provisioned_with, device.gateway) == (key, True)
    assert device.provisioned_at
    assert device.attributes.get(key="provisionState").value == "provisioned"
    assert ProvisionAttempt.objects.get().device == device


def test_unusable_credentials_are_ignored_where_supplied_ones_are():
    assert provision(ask(checking("a"), "a", credentials=AccessToken("x"))).status == SUCCESS


@pytest.mark.parametrize(
    "credentials", [AccessToken("chosen-token"), MqttBasic("c", "u", "p"), X509Certificate(certificate_text())]
)
def test_own_credentials_replace_the_stored_ones_where_profile_allows(credentials):
    key = checking("a", allow_own_credentials=True)

    outcome = provision(ask(key, "a", credentials=credentials))

    assert outcome.credentials == DeviceCredentials.objects.get().unpacked() == credentials


def test_own_credentials_of_another_device_are_failure():
    key = checking("a", "b", allow_own_credentials=True)
    taken = Device.objects.get(name="b").credentials.unpacked()

    assert_refused(provision(ask(key, "a", credentials=taken)), FAILURE, Reason.CREDENTIALS_TAKEN, devices=2)


def test_own_credentials_that_are_the_stored_ones_are_success():
    key = checking("a", allow_own_credentials=True)
    stored = Device.objects.get().credentials.unpacked()

    assert provision(ask(key, "a", credentials=stored)).credentials == stored


def test_device_without_credentials_gets_a_token():
    key = checking("a")
    DeviceCredentials.objects.all().delete()

    outcome = provision(ask(key, "a"))

    assert outcome.credentials == DeviceCredentials.objects.get().unpacked()


def test_unknown_name_is_failure():
    assert_refused(provision(ask(checking("a"), "b")), FAILURE, Reason.DEVICE_UNKNOWN, devices=1)


def test_missing_name_is_failure():
    assert_refused(provision(ask(checking("a"))), FAILURE, Reason.NAME_MISSING, devices=1)


def test_device_of_another_profile_is_failure():
    checking("a")

    assert_refused(provision(ask(checking(), "a")), FAILURE, Reason.DEVICE_IN_OTHER_PROFILE, devices=1)


def test_blocked_device_is_failure():
    key = checking("a")
    Device.objects.update(blocked=True)

    assert_refused(provision(ask(key, "a")), FAILURE, Reason.DEVICE_BLOCKED, devices=1)


def test_provisioned_device_is_failure():
    key = checking("a")
    provision(ask(key, "a"))

    outcome = provision(ask(key, "a"))

    assert (outcome.status, outcome.reason, outcome.credentials) == (FAILURE, Reason.ALREADY_PROVISIONED, None)
