"""A follower applies events in a thread of its own, however often the database or the events' consumer fails."""

import queue

import pytest
from django.db import OperationalError, transaction

from events import readers
from events.choices import Kind
from events.readers import Follower
from events.services import NewEvent, record

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["events"])  # so that no other table is emptied
PATIENCE_S = 60


@pytest.fixture
def follow(monkeypatch):
    """Return a function that starts a follower and returns the queue of the pages that it applied."""
    monkeypatch.setattr(readers, "RETRY_INTERVAL_S", 0.01)
    followers = []

    def start(apply=lambda page: None):
        pages = queue.Queue()

        def on_page(page):
            apply(page)
            pages.put(page)

        followers.append(Follower(on_page, kinds=[Kind.DEVICE_BLOCKED], interval_s=0.01))
        followers[-1].start()
        return pages

    yield start
    for follower in followers:
        follower.stop()


def block(number):
    with transaction.atomic():
        record([NewEvent(Kind.DEVICE_DELETED), NewEvent(Kind.DEVICE_BLOCKED, data={"number": number})])


def numbers(page):
    return [event.data["number"] for event in page.events]


def test_follower_looks_at_everything_once_and_then_gets_events(follow):
    pages = follow()

    assert pages.get(timeout=PATIENCE_S).missed
    block(1)
    assert numbers(pages.get(timeout=PATIENCE_S)) == [1]
    block(2)
    assert numbers(pages.get(timeout=PATIENCE_S)) == [2]


def test_page_that_could_not_be_applied_comes_again(follow):
    failures = [None, ValueError("a fault of the consumer"), OperationalError("gone while applying"), None]

    def apply(page):
        error = failures.pop(0)
        if error:
            raise error

    pages = follow(apply)
    assert pages.get(timeout=PATIENCE_S).missed
    block(1)

    assert numbers(pages.get(timeout=PATIENCE_S)) == [1]
    assert failures == []


def test_follower_survives_an_unavailable_database(follow, monkeypatch):
    errors = [OperationalError("unavailable"), OperationalError("unavailable")]
    read = readers.page_after

    def flaky(*args, **options):
        if errors:
            raise errors.pop()
        return read(*args, **options)

    pages = follow()
    assert pages.get(timeout=PATIENCE_S).missed
    monkeypatch.setattr(readers, "page_after", flaky)
    block(1)

    assert numbers(pages.get(timeout=PATIENCE_S)) == [1]
