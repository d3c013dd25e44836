"""Locks, deadlocks and a database that becomes unavailable, on a real server."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, connections, transaction

from devices.authentication import PresentedToken, authenticate
from devices.credentials import AccessToken
from devices.models import Device
from provisioning import services
from provisioning.choices import Reason
from provisioning.db_errors import DbError, classify
from provisioning.errors import Unavailable
from provisioning.group_commit import GroupCommit
from provisioning.services import provision_batch
from tests.support.processes import wait_for
from tests.support.provisioning import ask, checking, creating, provision, submitted

WAIT_S = 30


def database_error(code):
    cause = Exception()
    cause.sqlstate = code
    err = OperationalError()
    err.__cause__ = cause
    return err


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("40P01", DbError.CONFLICT),
        ("40001", DbError.CONFLICT),
        ("55P03", DbError.LOCK_TIMEOUT),
        ("57014", DbError.LOCK_TIMEOUT),
        ("57P01", DbError.UNAVAILABLE),
        ("25006", DbError.UNAVAILABLE),
        (None, DbError.UNAVAILABLE),
    ],
)
def test_code_of_database_says_what_happened(code, fault):
    assert classify(database_error(code)) is fault


def test_any_other_error_is_the_batch_itself():
    assert classify(ValueError()) is DbError.UNEXPECTED


@pytest.mark.django_db(transaction=True)
def test_database_lost_before_the_first_is_unavailable(monkeypatch):
    key = creating()

    def away(*_, **__):
        raise OperationalError

    monkeypatch.setattr(services, "write_ledger", away)
    with pytest.raises(Unavailable):
        provision_batch([ask(key, "a")])


@pytest.mark.django_db(transaction=True)
def test_database_lost_among_singles_keeps_the_answers_of_those_before(monkeypatch):
    """A batch is split since one request is poisoned; then the database goes: what is committed must be reported."""
    key = creating()
    decide = services.decide

    def poisoned(valid, ledger):
        if valid.name == "poison":
            raise RuntimeError("boom")
        if valid.name == "away":
            raise OperationalError
        return decide(valid, ledger)

    monkeypatch.setattr(services, "decide", poisoned)
    outcomes = provision_batch([ask(key, name) for name in ("a", "poison", "away", "b")])

    assert [one.reason for one in outcomes] == [Reason.CREATED, Reason.INTERNAL_ERROR, Reason.UNAVAILABLE, Reason.UNAVAILABLE]
    assert [device.name for device in Device.objects.all()] == ["a"]


@pytest.mark.django_db(transaction=True)
def test_deadlock_starts_over(monkeypatch):
    key = creating()
    write, failed = services.write_ledger, []

    def deadlock(*args):
        if not failed:
            failed.append(True)
            raise database_error("40P01")
        write(*args)

    monkeypatch.setattr(services, "write_ledger", deadlock)
    assert provision(ask(key, "a")).reason == Reason.CREATED
    assert Device.objects.count() == 1


def test_locked_device_does_not_delay_others_for_ever(own_postgres):
    """One device is locked: its request fails with a retry, the rest of the batch is served."""
    key = checking("locked", "free")
    held, release = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Device.objects.select_for_update().get(name="locked")
            held.set()
            release.wait(WAIT_S)
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(WAIT_S)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        outcomes = provision_batch([ask(key, "locked"), ask(key, "free")])
        release.set()
        holding.result(WAIT_S)
    connection.close()

    assert [one.reason for one in outcomes] == [Reason.UNAVAILABLE, Reason.CLAIMED]
    assert provision(ask(key, "locked")).reason == Reason.CLAIMED


def test_reply_after_waiting_for_a_lock_has_the_credentials_of_after_the_wait(own_postgres):
    """The rival commits own credentials while we wait for the device: a repetition must not get the old ones."""
    key = checking("a", allow_own_credentials=True)
    request = ask(key, "a", credentials=AccessToken("brought-by-device"), idempotency_key="idempotency-key-1")
    written, waiting = threading.Event(), threading.Event()
    write = services.write_ledger

    def slow(ledger, attempts):
        write(ledger, attempts)
        if threading.current_thread().name.startswith("first"):
            written.set()
            assert waiting.wait(WAIT_S)

    services.write_ledger = slow
    try:
        with ThreadPoolExecutor(1, "first") as first, ThreadPoolExecutor(1, "second") as second:
            one = first.submit(provision_and_close, request)
            assert written.wait(WAIT_S)
            other = second.submit(provision_and_close, request)
            wait_for(somebody_waits_for_a_lock, "the second to wait for the first")
            waiting.set()
            outcomes = [one.result(WAIT_S), other.result(WAIT_S)]
    finally:
        services.write_ledger = write

    assert [result.reason for result in outcomes] == [Reason.CLAIMED, Reason.REPEATED]
    assert {result.credentials.token for result in outcomes} == {"brought-by-device"}


def provision_and_close(request):
    try:
        return provision(request)
    finally:
        connections.close_all()


def somebody_waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]


def test_restart_of_the_database_costs_no_request_its_answer(own_postgres):
    """The drainer's connection and that of a thread that authenticates die with the server; both find out by themselves."""
    key = creating()
    queue = GroupCommit()
    with ThreadPoolExecutor(1) as device:
        first = submitted(queue, ask(key, "before")).result(WAIT_S)
        presented = PresentedToken(first.credentials.token)
        assert device.submit(authenticate, presented).result(WAIT_S).name == "before"
        own_postgres.stop()
        own_postgres.start()

        assert submitted(queue, ask(key, "after")).result(WAIT_S).reason == Reason.CREATED
        assert device.submit(authenticate, presented).result(WAIT_S).name == "before"
        device.submit(connections.close_all).result(WAIT_S)
    queue.close()


def test_database_outage_is_unavailable_until_it_is_back(own_postgres):
    key = creating()
    request = ask(key, "a")
    queue = GroupCommit()
    assert submitted(queue, ask(key, "before")).result(WAIT_S).reason == Reason.CREATED
    own_postgres.stop()
    try:
        for _ in range(3):
            assert submitted(queue, request).result(WAIT_S).reason == Reason.UNAVAILABLE
    finally:
        own_postgres.start()

    assert submitted(queue, request).result(WAIT_S).reason == Reason.CREATED
    queue.close()
    connection.close()
    assert sorted(device.name for device in Device.objects.all()) == ["a", "before"]


def test_connection_cut_in_the_middle_of_a_batch_is_unavailable(own_postgres, monkeypatch):
    """The commit could not be confirmed, so the device gets UNAVAILABLE; nothing half-made is left."""
    key = checking("a")
    write = services.write_ledger

    def cut(ledger, attempts):
        write(ledger, attempts)
        with ThreadPoolExecutor(1) as other:
            other.submit(terminate_all_others).result(WAIT_S)

    monkeypatch.setattr(services, "write_ledger", cut)
    with pytest.raises(Unavailable):
        provision_batch([ask(key, "a")])
    monkeypatch.undo()

    assert Device.objects.get().provisioned_at is None
    assert provision(ask(key, "a")).reason == Reason.CLAIMED


def terminate_all_others():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    connections.close_all()


def test_trigger_that_refuses_one_row_affects_no_other(own_postgres):
    key = creating()
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN IF NEW.name = 'bad' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$;
               CREATE TRIGGER refuse BEFORE INSERT ON devices_device FOR EACH ROW EXECUTE FUNCTION refuse()"""
        )
    try:
        outcomes = provision_batch([ask(key, name) for name in ("a", "bad", "b")])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER refuse ON devices_device; DROP FUNCTION refuse()")

    assert [one.reason for one in outcomes] == [Reason.CREATED, Reason.INTERNAL_ERROR, Reason.CREATED]
