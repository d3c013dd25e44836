"""provision_batch: races, poisoned requests and the number of statements."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.credentials import AccessToken
from devices.models import Device
from devices.services import device_create
from profiles.models import ProvisioningKey
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import ProvisionAttempt
from provisioning.services import provision_batch
from tests.support.provisioning import ask, assert_refused, checking, creating, provision

pytestmark = pytest.mark.django_db
NOT_FOUND, FAILURE, SUCCESS = ProvisionStatus.NOT_FOUND, ProvisionStatus.FAILURE, ProvisionStatus.SUCCESS


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

    # Django sends SQLite at most 999 parameters in one statement.
    most = 64 if connection.vendor == "postgresql" else 999 // len(Device._meta.concrete_fields)
    one, many = statements(1, "a"), statements(most, "b")
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
