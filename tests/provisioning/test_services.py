"""provision_batch: every row of docs/protocol.md's tables, one request at a time."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.credentials import AccessToken, MqttBasic, X509Certificate
from devices.models import Device, DeviceAttribute, DeviceCredentials
from devices.services import device_create
from profiles.models import ProvisioningKey
from profiles.services import key_create, key_revoke
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.messages import Origin
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.services import provision_batch
from tests.support.provisioning import ask, certificate, certificate_text, checking, creating, provision

pytestmark = pytest.mark.django_db

NOT_FOUND, FAILURE, SUCCESS = ProvisionStatus.NOT_FOUND, ProvisionStatus.FAILURE, ProvisionStatus.SUCCESS


def assert_refused(outcome, status, reason, *, devices=0):
    assert (outcome.status, outcome.reason) == (status, reason)
    assert (outcome.device_id, outcome.device_name, outcome.credentials) == (None, "", None)
    assert Device.objects.count() == DeviceCredentials.objects.count() == devices
    assert not Device.objects.exclude(provisioned_at=None).exists()
    assert not DeviceAttribute.objects.exists()


# --- Allow to create new devices ------------------------------------------------------------------


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


# --- Key and secret -------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [creating, checking])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"key": ""}, Reason.KEY_EMPTY),
        ({"secret": ""}, Reason.KEY_EMPTY),
        ({"key": "unknown-unknown-unknown"}, Reason.KEY_UNKNOWN),
        ({"key": "k" * 300}, Reason.KEY_UNKNOWN),
        ({"key": "nul\0"}, Reason.KEY_UNKNOWN),
        ({"key": "half\ud800"}, Reason.KEY_UNKNOWN),
        ({"secret": "wrong"}, Reason.SECRET_WRONG),
        ({"secret": "wrong\0"}, Reason.SECRET_WRONG),
        ({"secret": "wrong\ud800"}, Reason.SECRET_WRONG),
        ({"secret": "s" * 60_000}, Reason.SECRET_WRONG),
    ],
)
def test_key_and_secret_that_do_not_fit_are_not_found(strategy, fields, reason):
    outcome = provision(ask(strategy(), "a", **fields))

    assert_refused(outcome, NOT_FOUND, reason)
    assert RejectedRequest.objects.get().reason == reason


def test_key_is_taken_by_case():
    key = creating()

    assert provision(ask(key, "a", key=key.key.swapcase())).reason == Reason.KEY_UNKNOWN


def test_revoked_key_is_not_found_at_once_and_the_other_key_lives():
    key = creating()
    other = key_create(profile=key.profile)
    key_revoke(key=key)

    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.KEY_REVOKED)
    assert provision(ask(other, "a")).status == SUCCESS


def test_expired_key_is_not_found():
    key = creating()
    ProvisioningKey.objects.update(expires_at=timezone.now())

    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.KEY_EXPIRED)


def test_disabled_profile_is_not_found():
    key = creating()
    key.profile.strategy = "DISABLED"
    key.profile.save()

    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.PROFILE_DISABLED)
    assert ProvisionAttempt.objects.get().reason == Reason.PROFILE_DISABLED


def test_use_limit_ends_the_key():
    key = creating()
    ProvisioningKey.objects.update(use_limit=2)

    reasons = [outcome.reason for outcome in provision_batch([ask(key, name) for name in "aabc"])]

    assert reasons == [Reason.CREATED, Reason.NAME_TAKEN, Reason.CREATED, Reason.KEY_USED_UP]
    key.refresh_from_db()
    assert key.uses == 2
    used_up = provision(ask(key, "d"))
    assert (used_up.status, used_up.reason) == (NOT_FOUND, Reason.KEY_USED_UP)


def test_use_limit_zero_admits_no_device():
    key = creating()
    ProvisioningKey.objects.update(use_limit=0)

    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.KEY_USED_UP)


def test_use_limit_absent_counts_nothing():
    key = creating()

    provision(ask(key, "a"))

    key.refresh_from_db()
    assert (key.use_limit, key.uses) == (None, 0)


# --- Check for pre-provisioned devices ------------------------------------------------------------


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


# --- The batch ------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_lost_race_for_name_is_decided_again(monkeypatch):
    """Another process takes the name between our reading and our writing, and gives it back."""
    from provisioning import services

    key = creating()
    write, raced = services.write_ledger, []

    def race(ledger, attempts):
        if not raced:
            raced.append(True)
            # The rival's row, in our own transaction: it is rolled back with ours, and made again below.
            device_create(name="a", profile=key.profile)
        write(ledger, attempts)

    monkeypatch.setattr(services, "writes_at_once", lambda: False)
    monkeypatch.setattr(services, "write_ledger", race)
    assert provision(ask(key, "a")).status == SUCCESS
    assert Device.objects.filter(name="a").count() == 1
    assert ProvisionAttempt.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_batch_that_fails_to_be_written_leaves_nothing(monkeypatch):
    """Without a transaction around it too: what one statement writes is all there or not at all."""
    key = creating()
    device_create(name="taken", profile=key.profile)
    outcomes = provision_batch([ask(key, name) for name in ("a", "taken", "b")])

    assert [outcome.status for outcome in outcomes] == [SUCCESS, FAILURE, SUCCESS]
    assert sorted(Device.objects.values_list("name", flat=True)) == ["a", "b", "taken"]
    assert ProvisionAttempt.objects.count() == 3


@pytest.mark.parametrize("poisoned", range(3))
def test_poisoned_request_affects_no_other(monkeypatch, caplog, poisoned):
    from provisioning import services

    key = creating()
    decide = services.decide

    def explode(valid, ledger):
        if valid.name == f"n{poisoned}":
            raise RuntimeError("boom")
        return decide(valid, ledger)

    monkeypatch.setattr(services, "decide", explode)
    outcomes = provision_batch([ask(key, f"n{index}") for index in range(3)])

    for index, outcome in enumerate(outcomes):
        expected = (FAILURE, Reason.INTERNAL_ERROR) if index == poisoned else (SUCCESS, Reason.CREATED)
        assert (outcome.status, outcome.reason) == expected
    assert Device.objects.count() == 2
    assert ProvisionAttempt.objects.get(reason=Reason.INTERNAL_ERROR).device_name == f"n{poisoned}"
    assert ProvisionAttempt.objects.count() == 3
    assert key.secret not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_secret_that_no_key_decrypts_affects_no_other():
    from cryptography.fernet import Fernet

    good, lost = creating(), creating()
    with connection.cursor() as cursor:
        foreign = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
        cursor.execute("UPDATE profiles_provisioningkey SET secret = %s WHERE key = %s", [foreign, lost.key])

    outcomes = provision_batch([ask(lost, "a"), ask(good, "b")])

    assert [outcome.reason for outcome in outcomes] == [Reason.UNAVAILABLE, Reason.CREATED]


@pytest.mark.django_db(transaction=True)
def test_key_deleted_while_batch_is_under_way_is_not_found(monkeypatch):
    from provisioning import services

    key = creating()
    read, deleted = services.keys_of, []

    def delete_after_reading(requests):
        keys = read(requests)
        if not deleted:
            deleted.append(ProvisioningKey.objects.all().delete())
        return keys

    monkeypatch.setattr(services, "keys_of", delete_after_reading)
    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.KEY_UNKNOWN)


@pytest.mark.parametrize("brings", [None, "token"])
@pytest.mark.parametrize("strategy", [creating, checking])
@pytest.mark.django_db(transaction=True)
def test_number_of_statements_does_not_grow_with_the_batch(strategy, brings):
    def statements(count, letter):
        names = [f"{letter}{index}" for index in range(count)]
        key = strategy(allow_own_credentials=True) if strategy is creating else strategy(*names, allow_own_credentials=True)
        ProvisioningKey.objects.update(use_limit=1000)
        requests = [ask(key, name, credentials=AccessToken(f"token of {name}") if brings else None) for name in names]
        with CaptureQueriesContext(connection) as captured:
            assert {outcome.status for outcome in provision_batch(requests)} == {SUCCESS}
        return [query["sql"].split(" ")[0] for query in captured]

    one, many = statements(1, "a"), statements(64, "b")
    assert one == many
    # Keys, locked keys, devices, credentials; one statement of writing on PostgreSQL, up to six on SQLite; the key's use.
    assert len(many) <= (8 if connection.vendor == "postgresql" else 14)


@pytest.mark.django_db(transaction=True)
def test_wrong_guesses_cost_a_fixed_number_of_statements():
    key = creating()

    def statements(count):
        requests = [ask(key, "a", secret="wrong", address=f"192.0.2.{index}") for index in range(count)]
        with CaptureQueriesContext(connection) as captured:
            provision_batch(requests)
        return len(captured)

    assert statements(1) == statements(64)
