"""The strategy "Allow to create new devices": every row of its table in docs/protocol.md."""

import pytest

from devices.credentials import AccessToken, MqttBasic, X509Certificate
from devices.models import Device, DeviceAttribute, DeviceCredentials
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.messages import Origin
from provisioning.models import ProvisionAttempt
from provisioning.services import provision_batch
from tests.support.provisioning import ask, assert_refused, certificate, certificate_text, checking, creating, provision

pytestmark = pytest.mark.django_db
NOT_FOUND, FAILURE, SUCCESS = ProvisionStatus.NOT_FOUND, ProvisionStatus.FAILURE, ProvisionStatus.SUCCESS


def test_new_name_creates_device_with_credentials_attribute_and_attempt():
    key = creating()
    request = ask(key, " DHT11-1 ", origin=Origin(Transport.HTTP, "192.0.2.1", "abc"))

    outcome = provision(request)

    device = Device.objects.get()
    assert (outcome.status, outcome.reason, outcome.device_id) == (SUCCESS, Reason.CREATED, device.pk)
    assert device.name == outcome.device_name == "DHT11-1"
    assert (device.profile, device.provisioned_with, device.gateway) == (key.profile, key, False)
    assert device.provisioned_at
    assert device.first_used_at is None
    assert device.credentials.value == outcome.credentials.token
    assert len(outcome.credentials.token) == 20
    assert outcome.credentials.token.isalnum()
    attribute = device.attributes.get()
    assert (attribute.scope, attribute.key, attribute.value) == ("SERVER_SCOPE", "provisionState", "provisioned")
    attempt = ProvisionAttempt.objects.get()
    assert (attempt.device, attempt.device_name, attempt.profile, attempt.key) == (device, "DHT11-1", key.profile, key)
    assert (attempt.transport, attempt.address, attempt.request_id) == ("HTTP", "192.0.2.1", "abc")
    assert (attempt.outcome, attempt.reason, attempt.detail) == ("SUCCESS", "CREATED", "")
    assert attempt.created_at == device.provisioned_at == attribute.updated_at


def test_no_name_creates_device_of_20_alphanumeric_characters():
    outcome = provision(ask(creating()))

    assert len(outcome.device_name) == 20
    assert outcome.device_name.isalnum()
    assert Device.objects.get().name == outcome.device_name


def test_two_requests_without_name_make_two_devices():
    key = creating(retry_window_s=3600)

    first, second = provision_batch([ask(key), ask(key)])

    assert first.device_id != second.device_id
    assert first.credentials != second.credentials


def test_name_registered_already_is_failure():
    key = creating()
    first = provision(ask(key, "a"))

    outcome = provision(ask(key, "a"))

    assert (outcome.status, outcome.reason, outcome.credentials) == (FAILURE, Reason.NAME_TAKEN, None)
    assert Device.objects.get().pk == first.device_id
    assert list(ProvisionAttempt.objects.values_list("reason", flat=True).order_by("created_at")) == ["CREATED", "NAME_TAKEN"]


def test_name_of_pre_provisioned_device_in_any_profile_is_failure():
    checking("a")

    outcome = provision(ask(creating(), "a"))

    assert_refused(outcome, FAILURE, Reason.NAME_TAKEN, devices=1)


@pytest.mark.parametrize(
    ("credentials", "type_", "value"),
    [
        (AccessToken("chosen-token"), "ACCESS_TOKEN", "chosen-token"),
        (MqttBasic("c", "u", "p"), "MQTT_BASIC", '["c", "u", "p"]'),
        (MqttBasic("client-1", "", ""), "MQTT_BASIC", '["client-1", "", ""]'),
        (MqttBasic("", "u", "p"), "MQTT_BASIC", '["", "u", "p"]'),
        (X509Certificate(certificate()[0]), "X509_CERTIFICATE", certificate_text()),
    ],
)
def test_supplied_credentials_are_stored_and_returned(credentials, type_, value):
    outcome = provision(ask(creating(), "a", credentials=credentials))

    row = DeviceCredentials.objects.get()
    assert outcome.status == SUCCESS
    assert (row.type, row.value) == (type_, value)
    assert outcome.credentials == row.unpacked()


@pytest.mark.parametrize(
    ("permission", "credentials"),
    [
        ("allow_access_token", AccessToken("chosen-token")),
        ("allow_mqtt_basic", MqttBasic("c", "u", "p")),
        ("allow_x509", X509Certificate(certificate()[0])),
    ],
)
def test_type_that_profile_forbids_is_failure(permission, credentials):
    outcome = provision(ask(creating(**{permission: False}), "a", credentials=credentials))

    assert_refused(outcome, FAILURE, Reason.CREDENTIALS_NOT_ALLOWED)


def test_lwm2m_is_failure():
    assert_refused(provision(ask(creating(), "a", lwm2m=True)), FAILURE, Reason.CREDENTIALS_UNSUPPORTED)


@pytest.mark.parametrize(
    "credentials",
    [
        AccessToken("short"),
        AccessToken("t" * 256),
        AccessToken("t" * 20_480),
        AccessToken("provision"),
        AccessToken("token\0token"),
        AccessToken("token\x85token"),
        AccessToken("token\ud800token"),
        MqttBasic("", "", "password"),
        MqttBasic("provision", "u", "p"),
        MqttBasic("c", "provision", "p"),
        MqttBasic("c", "u", "p" * 256),
        MqttBasic("c\n", "u", "p"),
        MqttBasic("c", "u\x7f", "p"),
        MqttBasic("c", "u", "p\udfff"),
        X509Certificate("garbage"),
    ],
)
def test_unusable_credentials_are_failure(credentials):
    outcome = provision(ask(creating(), "a", credentials=credentials))

    assert_refused(outcome, FAILURE, Reason.CREDENTIALS_UNUSABLE)
    assert ProvisionAttempt.objects.get().detail == outcome.detail != ""


def test_profile_sets_minimum_token_length():
    key = creating(min_token_length=3)

    assert provision(ask(key, "a", credentials=AccessToken("ab"))).reason == Reason.CREDENTIALS_UNUSABLE
    assert provision(ask(key, "a", credentials=AccessToken("abc"))).reason == Reason.CREATED


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (AccessToken("chosen-token"), AccessToken("chosen-token")),
        (AccessToken("chosen-token"), MqttBasic("", "chosen-token", "p")),
        (MqttBasic("", "chosen-token", "p"), AccessToken("chosen-token")),
        (MqttBasic("c", "u", "p"), MqttBasic("c", "u", "other")),
    ],
)
def test_credentials_of_another_device_are_failure(first, second):
    key = creating()
    owner = provision(ask(key, "a", credentials=first))

    outcome = provision(ask(key, "b", credentials=second))

    assert (outcome.status, outcome.reason) == (FAILURE, Reason.CREDENTIALS_TAKEN)
    assert str(owner.device_id) in outcome.detail
    assert Device.objects.get().name == "a"


def test_gateway_is_kept():
    assert provision(ask(creating(), "a", gateway=True)).status == SUCCESS
    assert Device.objects.get().gateway


def test_gateway_that_profile_forbids_is_failure():
    assert_refused(provision(ask(creating(allow_gateways=False), "a", gateway=True)), FAILURE, Reason.GATEWAY_NOT_ALLOWED)


@pytest.mark.parametrize("name", ["", "  \t ", "a\0b", "a\nb", "a\x9fb", "a\ud800", "n" * 256])
@pytest.mark.parametrize("strategy", [creating, checking])
def test_unusable_name_is_failure(name, strategy):
    assert_refused(provision(ask(strategy(), name)), FAILURE, Reason.NAME_UNUSABLE)
    assert "\0" not in ProvisionAttempt.objects.get().device_name


def test_name_of_255_characters_from_any_script_is_kept():
    name = "é漢🚀" * 85

    assert provision(ask(creating(), f"  {name}\n")).device_name == name
    assert Device.objects.get().name == name


def test_name_pattern_is_enforced_with_case():
    key = creating(name_pattern="DHT11-?*")

    assert provision(ask(key, "DHT11-")).reason == Reason.NAME_NOT_ALLOWED
    assert provision(ask(key, "dht11-1")).reason == Reason.NAME_NOT_ALLOWED
    assert provision(ask(key, "DHT11-1")).reason == Reason.CREATED
    assert provision(ask(key)).reason == Reason.CREATED


def test_default_attributes_are_given_except_provision_state():
    attributes = [
        {"key": "model", "value": {"name": "DHT11", "pins": [1, 2]}, "scope": "SHARED_SCOPE"},
        {"key": "provisionState", "value": "wishful", "scope": "SERVER_SCOPE"},
        {"key": "provisionState", "value": 5, "scope": "CLIENT_SCOPE"},
    ]
    provision(ask(creating(default_attributes=attributes), "a"))

    assert set(DeviceAttribute.objects.values_list("scope", "key").order_by()) == {
        ("SHARED_SCOPE", "model"),
        ("SERVER_SCOPE", "provisionState"),
        ("CLIENT_SCOPE", "provisionState"),
    }
    assert DeviceAttribute.objects.get(key="model").value == {"name": "DHT11", "pins": [1, 2]}
    assert DeviceAttribute.objects.get(scope="SERVER_SCOPE").value == "provisioned"
