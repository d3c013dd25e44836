"""Wrong guesses: counted, limited, and never stored beyond the limit."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError

from provisioning import rate_limits, services
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.messages import Origin
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.rate_limits import CountedRequest, count, source_of
from provisioning.services import provision_batch
from tests.support.provisioning import ask, creating, provision

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    """A minute that does not end in the middle of a test."""

    class Clock:
        now = staticmethod(lambda: NOW)

    monkeypatch.setattr(services, "timezone", Clock)
    monkeypatch.setattr(rate_limits, "timezone", Clock)


@pytest.fixture
def key(settings):
    settings.GUESSES_PER_SOURCE = 3
    settings.GUESSES_PER_KEY = 5
    return creating()


def unknown(address="192.0.2.1", **fields):
    return CountedRequest(Origin(Transport.HTTP, address), Reason.KEY_UNKNOWN, **fields)


def reasons(outcomes):
    return [outcome.reason for outcome in outcomes]


def test_unknown_keys_are_counted_and_not_stored(key):
    for _ in range(3):
        assert provision(ask(key, "a", key="unknown-unknown-unknown")).reason == Reason.KEY_UNKNOWN

    row = RejectedRequest.objects.get()
    assert (row.count, row.source, row.reason, row.transport, row.key) == (3, "192.0.2.1", "KEY_UNKNOWN", "HTTP", None)
    assert row.minute == NOW.replace(second=0)
    assert not ProvisionAttempt.objects.exists()


def test_source_beyond_limit_is_refused_whatever_it_shows(key):
    for _ in range(3):
        provision(ask(key, "a", key="unknown-unknown-unknown"))

    beyond = provision(ask(key, "a", key="unknown-unknown-unknown"))
    right = provision(ask(key, "a"))

    for outcome in (beyond, right):
        assert (outcome.status, outcome.reason) == (ProvisionStatus.FAILURE, Reason.TOO_MANY_GUESSES)
        assert 0 < outcome.retry_after_s <= 46
    assert provision(ask(key, "a", address="192.0.2.2")).status == ProvisionStatus.SUCCESS
    assert ProvisionAttempt.objects.count() == 1


def test_guesses_in_one_batch_are_limited_as_they_would_be_one_by_one(key):
    outcomes = provision_batch([ask(key, "a", secret="wrong")] * 4 + [ask(key, "a", secret="wrong", address="192.0.2.2")] * 2)

    wrong, limited = Reason.SECRET_WRONG, Reason.TOO_MANY_GUESSES
    # The source's limit of 3 first, then the key's of 5.
    assert reasons(outcomes) == [wrong, wrong, wrong, limited, wrong, limited]


def test_limit_ends_with_the_minute(key, monkeypatch):
    for _ in range(4):
        provision(ask(key, "a", secret="wrong"))
    assert rate_limits.seconds_limited(Origin(Transport.HTTP, "192.0.2.1"), NOW) == 46

    assert rate_limits.seconds_limited(Origin(Transport.HTTP, "192.0.2.1"), NOW + timedelta(seconds=45)) == 0


def test_key_beyond_limit_refuses_wrong_secrets_only_and_stores_no_more(key):
    for index in range(9):
        provision(ask(key, "a", secret="wrong", address=f"192.0.2.{index}"))

    assert ProvisionAttempt.objects.count() == 6
    assert sum(RejectedRequest.objects.values_list("count", flat=True)) == 9
    wrong = provision(ask(key, "a", secret="wrong", address="192.0.2.20"))
    assert (wrong.reason, wrong.retry_after_s) == (Reason.TOO_MANY_GUESSES, 45)
    assert provision(ask(key, "a", address="192.0.2.21")).status == ProvisionStatus.SUCCESS


def test_empty_secrets_fill_no_disk(key):
    for index in range(9):
        provision(ask(key, "a", secret="", address=f"192.0.2.{index}"))

    assert ProvisionAttempt.objects.count() == 6


def test_requests_without_address_are_limited_by_key_only(key):
    outcomes = [provision(ask(key, "a", secret="wrong", address="")) for _ in range(6)]

    assert reasons(outcomes) == [Reason.SECRET_WRONG] * 5 + [Reason.TOO_MANY_GUESSES]
    assert provision(ask(key, "a", address="")).status == ProvisionStatus.SUCCESS


def test_unreadable_requests_are_counted_and_not_limited(key):
    unreadable = CountedRequest(Origin(Transport.COAP, "192.0.2.1"), Reason.MALFORMED, detail="Not JSON.")

    assert count([unreadable] * 10, NOW) == [False] * 10
    row = RejectedRequest.objects.get()
    assert (row.count, row.detail, row.transport) == (10, "Not JSON.", "COAP")


def test_limits_are_shared_by_processes(key):
    """The counts are in the database: a process that has seen no guess yet limits the next one."""
    for _ in range(3):
        provision(ask(key, "a", secret="wrong"))
    rate_limits.limited.clear()

    assert provision(ask(key, "a", secret="wrong")).reason == Reason.TOO_MANY_GUESSES


def test_sources_beyond_the_bound_share_a_row(monkeypatch):
    monkeypatch.setattr(rate_limits, "MAX_SOURCES_PER_MINUTE", 5)

    for start in (0, 100, 200):
        count([unknown(f"192.0.2.{index}") for index in range(start, start + 4)], NOW)

    assert RejectedRequest.objects.count() == 5
    assert RejectedRequest.objects.get(source="").count == 8
    count([unknown("192.0.2.0")], NOW)
    assert RejectedRequest.objects.get(source="192.0.2.0").count == 2


@pytest.mark.django_db(transaction=True)
def test_counts_of_a_deleted_key_are_dropped(key, caplog):
    from profiles.models import ProvisioningKey

    ProvisioningKey.objects.all().delete()

    assert count([unknown(key=key)], NOW) == [False]
    assert not RejectedRequest.objects.exists()
    assert "could not be counted" in caplog.text


def test_database_away_after_commit_still_gives_the_answers(key, monkeypatch):
    def away(*_):
        raise OperationalError

    monkeypatch.setattr(rate_limits, "_add", away)

    assert reasons(provision_batch([ask(key, "a"), ask(key, "b", secret="wrong")])) == [Reason.CREATED, Reason.SECRET_WRONG]


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("evil\0\ud800", ""),
        ("192.0.2.1, 10.0.0.1", ""),
    ],
)
def test_source_stands_for_address(address, source):
    assert source_of(address) == source
