"""No reader misses an event or gets one twice, whatever order transactions commit in, and none waits for an open one."""

import json
from collections import Counter
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.ids import new_id
from events import postgres, sqlite
from events.choices import Kind
from events.models import Event, PruneMark, ReaderPosition
from events.selectors import page_after
from events.services import NewEvent, named_keys, record
from events.tasks import prune_events
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["events"])  # so that no other table is emptied
# The transactions of a server are counted together, those of the other tests' databases too.
OPEN_ELSEWHERE = "the transactions that other tests have open on the same server"
INSERT = "INSERT INTO events_event (created_at, kind, data) VALUES (now(), 'device.changed', %s::jsonb)"


def written(*names, kind=Kind.DEVICE_CHANGED):
    """Write one event for each of `names` in a transaction of their own."""
    with transaction.atomic():
        record(NewEvent(kind, data={"name": name}) for name in names)


def names_in(page):
    return [event.data["name"] for event in page.events]


class Reader:
    """A reader that notes what it got."""

    def __init__(self):
        self.position = page_after("").position
        self.names = []

    def read(self, **options):
        while True:
            page = page_after(self.position, **options)
            assert not page.missed
            self.position = page.position
            self.names += names_in(page)
            if not page.more:
                return


class Writer:
    """A transaction of another process, which commits on request."""

    def __init__(self):
        options = {"dbname": settings.DATABASES["default"]["NAME"], **connection.get_connection_params()}
        options = {name: options[name] for name in ("dbname", "host", "port", "user")}
        self._connection = psycopg.connect(**options)

    def write(self, name):
        self._connection.execute(INSERT, [json.dumps({"name": name})])

    def commit(self):
        self._connection.commit()

    def roll_back(self):
        self._connection.rollback()

    def close(self):
        self._connection.close()


def test_new_reader_begins_now_and_looks_at_everything():
    written("before")

    page = page_after("")

    assert page.missed
    assert page.events == []
    written("after")
    assert names_in(page_after(page.position)) == ["after"]


def test_event_outside_of_a_transaction_is_refused():
    with pytest.raises(transaction.TransactionManagementError):
        record([NewEvent(Kind.DEVICE_DELETED)])


def test_event_is_read_as_it_was_written():
    position = page_after("").position
    device_id, profile_id = new_id(), new_id()
    with transaction.atomic():
        record([NewEvent(Kind.SHARED_ATTRIBUTES_CHANGED, device_id, profile_id, named_keys(["b", "a"]))])

    (event,) = page_after(position).events

    assert (event.kind, event.device_id, event.profile_id) == (Kind.SHARED_ATTRIBUTES_CHANGED, device_id, profile_id)
    assert event.data == {"keys": ["a", "b"]}
    assert timezone.now() - event.created_at < timedelta(minutes=5)


def test_event_with_too_many_keys_names_none():
    assert named_keys(map(str, range(1_000))) == {}


def test_pages_are_small_and_together_complete():
    reader = Reader()
    written(*map(str, range(10)))

    page = page_after(reader.position, limit=4)
    written("later")
    reader.read(limit=4)

    assert names_in(page) == ["0", "1", "2", "3"]
    assert reader.names == [*map(str, range(10)), "later"]


def test_kinds_that_a_reader_does_not_want_do_not_hold_it_up():
    reader = Reader()
    written("noise", kind=Kind.DEVICE_PROVISIONED)
    reader.read(kinds=[Kind.DEVICE_BLOCKED], limit=1)
    written("wanted", kind=Kind.DEVICE_BLOCKED)
    written("noise", kind=Kind.DEVICE_PROVISIONED)

    reader.read(kinds=[Kind.DEVICE_BLOCKED], limit=1)

    assert reader.names == ["wanted"]


@pytest.mark.parametrize("position", ["nonsense", "1-1", "abc/9:1:/", "abc/5:9:7,6", "a/1:1:/1:1:/1/99999999999999999999999"])
def test_position_of_nowhere_starts_from_a_snapshot(position):
    written("one")

    page = page_after(position)

    assert page.missed
    assert page_after(page.position).events == []


@pytest.mark.postgres_only
def test_writers_that_commit_out_of_order_are_all_read():
    reader = Reader()
    first, second = Writer(), Writer()
    first.write("first")
    second.write("second")
    second.write("second, too")
    second.commit()
    reader.read()
    assert reader.names == ["second", "second, too"]
    written("third")
    reader.read()
    first.commit()
    reader.read()
    reader.read()

    assert reader.names == ["second", "second, too", "third", "first"]
    first.close()
    second.close()


@pytest.mark.postgres_only
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["write", "write", "commit", "roll back", "read", "page"])), max_size=40
    )
)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_interleaving_delivers_each_committed_event_once(steps):
    reader = Reader()
    writers = [Writer() for _ in range(4)]
    waiting, committed = {number: [] for number in range(4)}, []
    for step, (number, act) in enumerate(steps):
        if act == "write":
            writers[number].write(f"{step}")
            waiting[number].append(f"{step}")
        elif act == "commit":
            writers[number].commit()
            committed += waiting[number]
            waiting[number] = []
        elif act == "roll back":
            writers[number].roll_back()
            waiting[number] = []
        elif act == "read":
            reader.read()
            assert Counter(reader.names) == Counter(committed)
        else:
            page = page_after(reader.position, limit=1)
            reader.names += names_in(page)
            reader.position = page.position
    for writer in writers:
        writer.close()
    reader.read(limit=2)
    assert Counter(reader.names) == Counter(committed)


@pytest.mark.postgres_only
def test_open_transaction_delays_no_other_and_is_read_when_it_commits():
    reader = Reader()
    slow = Writer()
    slow.write("slow")
    for number in range(5):
        written(str(number))
        reader.read()
        assert reader.names[-1] == str(number)
    slow.commit()
    reader.read()

    assert reader.names == [*map(str, range(5)), "slow"]
    slow.close()


def test_restored_database_starts_readers_from_a_snapshot():
    """Set back, and then grown beyond where the reader had been."""
    written("kept")
    kept = list(Event.objects.values())
    reader = Reader()
    written("lost")
    reader.read()
    _restore(kept)
    written(*map(str, range(5)))

    page = page_after(reader.position)

    assert page.missed
    written("new")
    assert names_in(page_after(page.position)) == ["new"]


def _restore(rows):
    """Do what a restored dump or file does: the table is another one, and has these rows."""
    Event.objects.all().delete()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("CREATE TABLE copied (LIKE events_event INCLUDING ALL)")
            cursor.execute("ALTER TABLE events_event RENAME TO replaced")
            cursor.execute("ALTER TABLE copied RENAME TO events_event")
            cursor.execute("DROP TABLE replaced CASCADE")
        else:
            cursor.execute("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'events_event'")
    Event.objects.bulk_create(Event(**row) for row in rows)


@pytest.mark.postgres_only
def test_dump_of_a_server_with_higher_transaction_ids_is_not_taken_for_news():
    reader = Reader()
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [json.dumps({"name": "old"})])
        cursor.execute("UPDATE events_event SET transaction_id = 9000000000")
    PruneMark.objects.create(pruned=8_999_999_999)
    written("new")
    reader.read()

    def is_gone():
        prune_events()
        return not Event.objects.filter(data__name="old").exists()

    wait_for(is_gone, OPEN_ELSEWHERE)
    assert reader.names == ["new"]
    assert not PruneMark.objects.exists()


def grow_old(**age):
    Event.objects.update(created_at=timezone.now() - timedelta(**age))


def test_pruning_keeps_what_a_slow_reader_needs():
    slow = Reader()
    written("old")
    grow_old(hours=2)
    written("young")
    ReaderPosition.objects.create(name="slow", position=slow.position)

    assert prune_events() == 0
    slow.read()

    assert slow.names == ["old", "young"]

    def is_past_it():
        slow.read()
        ReaderPosition.objects.update(position=slow.position)
        return prune_events() == 1

    wait_for(is_past_it, OPEN_ELSEWHERE)


def test_reader_absent_for_too_long_starts_from_a_snapshot():
    backend = postgres if connection.vendor == "postgresql" else sqlite
    gone, present = Reader(), Reader()
    ReaderPosition.objects.create(name="gone", position=gone.position)
    written("one", "two")
    grow_old(days=8)
    written("young")

    def is_past_both():
        """Whether `present` needs neither: a transaction that is open elsewhere holds its position back, too."""
        present.read()
        oldest = backend.oldest_events(2)
        return len(oldest) == 2 and oldest[1][2] < backend.needed_from(present.position)

    wait_for(is_past_both, OPEN_ELSEWHERE)
    assert prune_events() == 2

    assert page_after(gone.position).missed
    present.read()
    assert present.names == ["one", "two", "young"]


@pytest.mark.postgres_only
def test_pruning_stops_at_an_open_transaction():
    reader, slow = Reader(), Writer()
    slow.write("slow")
    written("old")
    grow_old(hours=2)

    assert prune_events() == 0

    slow.commit()
    reader.read()
    assert sorted(reader.names) == ["old", "slow"]
    slow.close()
