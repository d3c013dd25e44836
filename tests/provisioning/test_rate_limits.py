"""Limits on guessing: wrong guesses are counted and answered so beyond a limit; right secrets are served always."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, OperationalError

from profiles.models import ProvisioningKey
from provisioning import rate_limits, rejected, services
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.messages import Origin
from provisioning.models import GuessCount, ProvisionAttempt, RejectedRequest
from provisioning.rate_limits import Guess, count
from provisioning.rejected import Rejected, record
from provisioning.services import provision_batch
from tests.support.provisioning import ask, creating, provision

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A minute that does not end in the middle of a test."""

    class Clock:
        at = NOW

        @classmethod
        def now(cls):
            return cls.at

    monkeypatch.setattr(services, "timezone", Clock)
    monkeypatch.setattr(rate_limits, "timezone", Clock)
    return Clock


@pytest.fixture
def key(settings):
    settings.GUESSES_PER_SOURCE = 3
    settings.GUESSES_PER_KEY = 5
    return creating()


def wrong(key, address="192.0.2.1", **origin):
    request = ask(key, "a", secret="wrong", address=address)
    if not origin:
        return provision(request).reason
    return provision(services.replace(request, origin=services.replace(request.origin, **origin))).reason


def guesses(address, times=1, transport=Transport.HTTP):
    return [Guess(Origin(transport, address))] * times


def reasons(outcomes):
    return [outcome.reason for outcome in outcomes]


def test_unknown_keys_are_counted_and_not_stored(key):
    for _ in range(3):
        assert provision(ask(key, "a", key="unknown-unknown-unknown")).reason == Reason.KEY_UNKNOWN

    row = RejectedRequest.objects.get()
    assert (row.count, row.source, row.reason, row.transport, row.key) == (3, "192.0.2.1", "KEY_UNKNOWN", "HTTP", None)
    assert row.minute == NOW.replace(second=0)
    assert not ProvisionAttempt.objects.exists()


def test_right_secret_is_served_from_a_source_and_for_a_key_beyond_their_limits(key):
    """Behind one NAT or balancer stand a guesser and honest devices; and anybody who knows the key can spend its guesses."""
    answers = [wrong(key) for _ in range(4)]
    beyond = provision(ask(key, "a", secret="wrong"))
    for number in range(6):
        wrong(key, address=f"192.0.2.{number + 10}")

    assert answers == [Reason.SECRET_WRONG] * 3 + [Reason.TOO_MANY_GUESSES]
    assert (beyond.status, beyond.reason, beyond.retry_after_s) == (ProvisionStatus.FAILURE, Reason.TOO_MANY_GUESSES, 45)
    assert wrong(key, address="192.0.2.30") == Reason.TOO_MANY_GUESSES
    assert provision(ask(key, "a")).status == ProvisionStatus.SUCCESS


def test_guesses_in_one_batch_are_limited_as_they_would_be_one_by_one(key):
    outcomes = provision_batch([ask(key, "a", secret="wrong")] * 4 + [ask(key, "a", secret="wrong", address="192.0.2.2")] * 2)

    wrong_, limited = Reason.SECRET_WRONG, Reason.TOO_MANY_GUESSES
    # The source's limit of 3 first, then the key's of 5.
    assert reasons(outcomes) == [wrong_, wrong_, wrong_, limited, wrong_, limited]


def test_limit_ends_with_the_minute_and_its_counts_are_forgotten(key, clock):
    for _ in range(4):
        wrong(key)
    clock.at += timedelta(seconds=45)
    assert wrong(key) == Reason.SECRET_WRONG

    clock.at += timedelta(minutes=2)
    wrong(key)
    assert set(GuessCount.objects.values_list("minute", flat=True)) == {clock.at.replace(second=0)}


def test_attempts_beyond_a_limit_fill_no_disk(key):
    for index in range(9):
        provision(ask(key, "a", secret="wrong" if index % 2 else "", address=f"192.0.2.{index}"))

    assert ProvisionAttempt.objects.count() == 5
    assert sum(RejectedRequest.objects.values_list("count", flat=True)) == 9


def test_requests_without_address_are_limited_by_key_only(key):
    assert [wrong(key, address="") for _ in range(6)] == [Reason.SECRET_WRONG] * 5 + [Reason.TOO_MANY_GUESSES]


def test_forged_udp_sources_limit_neither_tcp_nor_peers_with_a_proven_address(key):
    udp = [wrong(key, transport=Transport.COAP) for _ in range(4)]
    proven = [wrong(key, transport=Transport.COAP, proven=True) for _ in range(1)]

    assert udp == [Reason.SECRET_WRONG] * 3 + [Reason.TOO_MANY_GUESSES]
    assert proven == [Reason.SECRET_WRONG]
    assert count(guesses("192.0.2.1", 3), NOW) == [False] * 3
    assert count(guesses("192.0.2.1", 1, Transport.MQTT), NOW) == [True]


def test_sites_of_one_ipv6_network_share_a_higher_limit(key):
    for site in range(10):
        assert count(guesses(f"2001:db8:1:{site:x}::1", 3), NOW) == [False] * 3
    assert count(guesses("2001:db8:1:0::2"), NOW) == [True]

    assert count(guesses("2001:db8:1:ffff::1"), NOW) == [True]
    assert count(guesses("2001:db8:2::1"), NOW) == [False]


def test_limits_are_shared_by_processes(key):
    """The counts are in the database: a process that has seen no guess yet limits the next one."""
    for _ in range(3):
        wrong(key)
    rate_limits.limited.clear()

    assert wrong(key) == Reason.TOO_MANY_GUESSES


def test_many_sources_do_not_switch_the_limit_off_for_one_that_guesses_much(key, monkeypatch):
    monkeypatch.setattr(rate_limits, "MAX_COUNTED", 20)
    monkeypatch.setattr(rate_limits, "KEPT_WHEN_FULL", 15)
    answers = []
    for number in range(100):
        count(guesses(f"198.51.100.{number}"), NOW)
        answers += count(guesses("192.0.2.1"), NOW) if number % 10 == 0 else []

    assert answers[0] is False
    assert answers[3:] == [True] * 7
    assert GuessCount.objects.filter(group="tcp").count() <= 22


def test_sources_that_come_again_and_again_are_limited_though_they_are_forgotten_meanwhile(key, monkeypatch):
    monkeypatch.setattr(rate_limits, "MAX_COUNTED", 20)
    monkeypatch.setattr(rate_limits, "KEPT_WHEN_FULL", 15)
    answers = [count(guesses(f"198.51.100.{number}"), NOW) for _ in range(4) for number in range(60)]

    assert answers[0] == [False]
    assert answers[-1] == [True]


def test_rows_of_rejected_requests_are_bounded(monkeypatch):
    monkeypatch.setattr(rejected, "MAX_ROWS_PER_MINUTE", 5)

    for start in (0, 100, 200):
        origins = [Origin(Transport.HTTP, f"192.0.2.{index}") for index in range(start, start + 4)]
        record([Rejected(origin, Reason.KEY_UNKNOWN) for origin in origins], (), NOW)

    assert RejectedRequest.objects.count() == 5
    assert RejectedRequest.objects.get(source="").count == 8


def test_unreadable_requests_are_counted_and_not_limited(key):
    unreadable = Rejected(Origin(Transport.COAP, "192.0.2.1"), Reason.MALFORMED, detail="Not JSON.")

    record([unreadable] * 10, (), NOW)

    row = RejectedRequest.objects.get()
    assert (row.count, row.detail, row.transport) == (10, "Not JSON.", "COAP")
    assert not GuessCount.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_counts_of_a_deleted_key_are_dropped(key, caplog):
    ProvisioningKey.objects.all().delete()

    record([Rejected(Origin(Transport.HTTP, "192.0.2.1"), Reason.SECRET_WRONG, key)], (), NOW)

    assert not RejectedRequest.objects.exists()
    assert "could not be counted" in caplog.text


def test_database_lost_after_commit_still_gives_the_answers(key, monkeypatch):
    def away(*_):
        raise OperationalError

    monkeypatch.setattr(rate_limits, "_add", away)
    monkeypatch.setattr(rejected, "_add", away)

    assert reasons(provision_batch([ask(key, "a"), ask(key, "b", secret="wrong")])) == [Reason.CREATED, Reason.SECRET_WRONG]


def test_batch_that_starts_over_counts_each_guess_once(key, monkeypatch):
    write, calls = services.write_ledger, []

    def fails_once(*args):
        calls.append(1)
        if len(calls) == 1:
            raise IntegrityError
        write(*args)

    monkeypatch.setattr(services, "write_ledger", fails_once)
    provision_batch([ask(key, "a"), ask(key, "b", secret="wrong")])

    assert len(calls) == 2
    assert GuessCount.objects.get(group="tcp").count == 1
