"""The queue in front of provision_batch: which requests share a transaction, and that each gets a reply."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from devices.models import Device
from provisioning import group_commit as module
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.errors import Unavailable
from provisioning.group_commit import MAX_BATCH, GroupCommit
from provisioning.messages import Origin, ProvisionOutcome, ProvisionRequest
from provisioning.models import RejectedRequest
from tests.support.processes import wait_for
from tests.support.provisioning import ask, creating, submitted

ORIGIN = Origin(Transport.HTTP, "192.0.2.1")
WAIT_S = 30


def request(name):
    return ProvisionRequest(ORIGIN, "key", "secret", name)


def outcome(one):
    return ProvisionOutcome(ProvisionStatus.SUCCESS, Reason.CREATED, device_name=one.device_name)


class Gate:
    """Provisions batches one by one, each when it is let through, and remembers them."""

    def __init__(self):
        self.batches = []
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def __call__(self, requests):
        self.batches.append(requests)
        self.entered.release()
        assert self.open.acquire(timeout=WAIT_S)
        return [outcome(one) for one in requests]


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def queue(gate):
    made = GroupCommit(gate)
    yield made
    gate.open.release(1000)
    made.close()


def test_each_caller_gets_its_own_outcome(queue, gate):
    gate.open.release(1000)
    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(lambda index: submitted(queue, request(str(index))).result(WAIT_S), range(500)))

    assert [result.device_name for result in results] == [str(index) for index in range(500)]
    assert sum(len(batch) for batch in gate.batches) == 500
    assert max(len(batch) for batch in gate.batches) <= MAX_BATCH


def test_what_waits_while_a_batch_commits_makes_the_next_one(queue, gate):
    first = submitted(queue, request("first"))
    assert gate.entered.acquire(timeout=WAIT_S)
    waiting = [submitted(queue, request(str(index))) for index in range(MAX_BATCH + 3)]
    gate.open.release(3)

    assert first.result(WAIT_S).device_name == "first"
    assert [one.result(WAIT_S).device_name for one in waiting] == [str(index) for index in range(MAX_BATCH + 3)]
    assert [len(batch) for batch in gate.batches] == [1, MAX_BATCH, 3]


def test_full_queue_replies_try_again(queue, gate, monkeypatch):
    queue._queue.maxsize = 2
    waiting = [submitted(queue, request("in flight"))]
    assert gate.entered.acquire(timeout=WAIT_S)
    waiting += [submitted(queue, request(str(index))) for index in range(2)]

    assert submitted(queue, request("one too many")).result(0).reason == Reason.UNAVAILABLE
    queue.note_unreadable(ORIGIN, "dropped silently")
    gate.open.release(10)
    assert [one.result(WAIT_S).status for one in waiting] == ["SUCCESS"] * 3


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(1), Unavailable("unavailable"), MemoryError()])
def test_error_reaches_its_batch_only_and_the_drainer_lives(error):
    def provision(requests):
        if any(one.device_name == "bad" for one in requests):
            raise error
        return [outcome(one) for one in requests]

    queue = GroupCommit(provision)
    result = submitted(queue, request("bad")).result(WAIT_S)
    assert (result.reason, result.retry_after_s) == (Reason.UNAVAILABLE, 5)
    assert submitted(queue, request("good")).result(WAIT_S).device_name == "good"
    queue.close()


def test_request_that_was_not_served_among_others_gets_try_again():
    unserved = ProvisionOutcome(ProvisionStatus.FAILURE, Reason.UNAVAILABLE)
    queue = GroupCommit(lambda requests: [unserved if one.device_name == "x" else outcome(one) for one in requests])

    assert submitted(queue, request("x")).result(WAIT_S).reason == Reason.UNAVAILABLE
    assert submitted(queue, request("y")).result(WAIT_S).device_name == "y"
    queue.close()


def test_callback_that_raises_hurts_no_other_request(queue, gate, caplog):
    def explode(_outcome):
        raise RuntimeError("boom")

    submitted(queue, request("in flight"))
    assert gate.entered.acquire(timeout=WAIT_S)
    queue.submit(request("a"), explode)
    other = submitted(queue, request("b"))
    gate.open.release(10)

    assert other.result(WAIT_S).device_name == "b"
    assert "could not be passed on" in caplog.text


def test_close_finishes_what_waits_and_refuses_what_comes(queue, gate):
    waiting = [submitted(queue, request(str(index))) for index in range(5)]
    assert gate.entered.acquire(timeout=WAIT_S)
    closing = threading.Thread(target=queue.close)
    closing.start()
    wait_for(lambda: queue._closed, "close")
    late = submitted(queue, request("late"))
    gate.open.release(10)
    closing.join(WAIT_S)

    assert [one.result(0).device_name for one in waiting] == [str(index) for index in range(5)]
    assert late.result(0).reason == Reason.UNAVAILABLE
    assert not queue._drainer.is_alive()
    queue.close()


def test_close_without_a_request_returns():
    GroupCommit().close()


def test_forked_process_has_a_queue_of_its_own(monkeypatch):
    """The parent's drainer is no thread of the child, and the parent's lock may be held at the fork."""
    queue = GroupCommit(lambda requests: [outcome(one) for one in requests])
    monkeypatch.setattr(module, "group_commit", queue)
    os.register_at_fork(after_in_child=queue.forget)
    assert submitted(queue, request("parent")).result(WAIT_S).device_name == "parent"
    with queue._lock:
        child = os.fork()
        if child == 0:
            name = submitted(queue, request("child")).result(WAIT_S).device_name
            os._exit(0 if name == "child" else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert submitted(queue, request("parent again")).result(WAIT_S).device_name == "parent again"
    queue.close()


@pytest.mark.django_db(transaction=True)
def test_real_batches_commit_for_many_threads():
    key = creating()
    queue = GroupCommit()
    names = [f"device-{index}" for index in range(200)]
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda name: submitted(queue, ask(key, name)).result(WAIT_S), names))
    queue.close()

    assert [result.device_name for result in results] == names
    assert {device.credentials.value for device in Device.objects.select_related("credentials")} == {
        result.credentials.token for result in results
    }


@pytest.mark.django_db(transaction=True)
def test_unreadable_requests_are_counted_with_and_without_others():
    key = creating()
    queue = GroupCommit()
    queue.note_unreadable(ORIGIN, "Not JSON. " * 100)
    submitted(queue, ask(key, "a")).result(WAIT_S)
    queue.note_unreadable(ORIGIN, "Not JSON.")
    queue.close()

    row = RejectedRequest.objects.get()
    assert (row.reason, row.count, row.detail) == (Reason.MALFORMED, 2, "Not JSON.")


@pytest.mark.django_db(transaction=True)
def test_drainer_leaves_no_connection_open():
    queue = GroupCommit()
    seen = []
    queue._provision = lambda requests: seen.append(connections["default"]) or [outcome(one) for one in requests]
    submitted(queue, request("a")).result(WAIT_S)
    queue.close()

    assert seen[0].connection is None
