"""A transaction that stays open for a minute holds up no reader of the event log, and what it wrote is read in the end."""

import threading
import time
from collections import Counter

import pytest
from django.db import connection, transaction

from events.choices import Kind
from events.readers import Follower
from events.services import NewEvent, record
from tests.events.test_log import Writer
from tests.provisioning.conftest import own_postgres, server

__all__ = ["own_postgres", "server"]
OPEN_S = 60
WRITERS = 4

pytestmark = [pytest.mark.soak, pytest.mark.django_db(transaction=True)]


def test_transaction_open_for_a_minute_delays_no_event(own_postgres):
    started, lags, got, written = threading.Event(), [], Counter(), Counter()

    def on_page(page):
        started.set()
        for event in page.events:
            got[event.data.get("n", "slow")] += 1
            lags.append(time.time() - event.created_at.timestamp())

    def write(writer, until):
        number = 0
        while time.monotonic() < until:
            events = [NewEvent(Kind.DEVICE_CHANGED, data={"n": f"{writer}-{number + one}"}) for one in range(16)]
            with transaction.atomic():
                record(events)
            written.update(event.data["n"] for event in events)
            number += 16
            time.sleep(0.02)
        connection.close()

    follower = Follower(on_page, kinds=list(Kind))
    follower.start()
    assert started.wait(60)
    slow = Writer()
    slow.write("slow")
    threads = [threading.Thread(target=write, args=(one, time.monotonic() + OPEN_S)) for one in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 60
    while got != written and time.monotonic() < deadline:
        time.sleep(0.1)
    assert got == written
    print(f"{written.total()} events beside a transaction open for {OPEN_S} s: lag {max(lags):.2f} s at most")
    slow.commit()
    slow.close()
    while time.monotonic() < deadline and got.total() == written.total():
        time.sleep(0.1)
    follower.stop()

    assert got.total() == written.total() + 1
    assert max(lags[: written.total()]) < 2
