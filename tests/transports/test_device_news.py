"""Listeners on an event loop hear of what happened to their devices, and of nothing else."""

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from django.db import connection, transaction

from devices.models import Device, DeviceAttribute
from events.choices import Kind
from events.services import NewEvent, record
from profiles.choices import AttributeScope
from tests.support.provisioning import checking
from transports.device_news import NewsFeed, TooManyWaits

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_S = 60


@pytest.fixture
def device():
    checking("one", "other")
    return Device.objects.get(name="one")


@pytest.fixture
def other(device):
    return Device.objects.get(name="other")


@asynccontextmanager
async def feed(**options):
    """A feed that has begun to read: its first listener gets everything."""
    news = NewsFeed(**options)
    began = asyncio.Event()
    end = news.listen(uuid4(), lambda _: began.set())
    news.start()
    async with asyncio.timeout(PATIENCE_S):
        await began.wait()
    end()
    try:
        yield news
    finally:
        await news.stop()


def happens(kind, device, **data):
    with transaction.atomic():
        record([NewEvent(kind, device.pk, device.profile_id, data)])


def with_own_connection(act, *args, **options):
    """Do `act` in a thread that leaves no connection behind."""
    try:
        act(*args, **options)
    finally:
        connection.close()


def set_shared(device, **values):
    for key, value in values.items():
        DeviceAttribute.objects.update_or_create(device=device, scope=AttributeScope.SHARED, key=key, defaults={"value": value})


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


async def heard(news, device, act, *args, **options):
    """Return what the listener of `device` hears first once `act` has been done."""
    received = asyncio.get_running_loop().create_future()
    end = news.listen(device.pk, lambda one: received.done() or received.set_result(one))
    await asyncio.to_thread(with_own_connection, act, *args, **options)
    try:
        return await received
    finally:
        end()


def test_changed_and_deleted_attributes_are_heard_of_together(device, other):
    set_shared(device, interval=5, untouched=1)
    set_shared(other, interval=7)

    async def scenario():
        async with feed() as news:
            return await heard(news, device, happens, Kind.SHARED_ATTRIBUTES_CHANGED, device, keys=["interval", "removed"])

    news = run(scenario())

    assert news.attributes == {"interval": 5, "deleted": ["removed"]}
    assert not news.access_changed


def test_event_that_names_no_keys_brings_all_attributes(device):
    set_shared(device, a=1, b=[2])

    async def scenario():
        async with feed() as news:
            return await heard(news, device, happens, Kind.SHARED_ATTRIBUTES_CHANGED, device)

    assert run(scenario()).attributes == {"a": 1, "b": [2]}


@pytest.mark.parametrize(
    ("kind", "gone"),
    [(Kind.DEVICE_BLOCKED, True), (Kind.DEVICE_DELETED, True), (Kind.CREDENTIALS_CHANGED, False), (Kind.DEVICE_RESET, False)],
)
def test_access_is_looked_up_by_what_is_true_now(kind, gone, device):
    def act():
        if kind == Kind.DEVICE_BLOCKED:
            Device.objects.filter(pk=device.pk).update(blocked=True)
        if kind == Kind.DEVICE_DELETED:
            Device.objects.filter(pk=device.pk).delete()
        happens(kind, device)

    async def scenario():
        async with feed() as news:
            return await heard(news, device, act)

    news = run(scenario())

    assert news.access_changed
    assert news.gone is gone
    assert (news.reset_at is not None) is (kind == Kind.DEVICE_RESET)


def test_blocked_device_that_is_unblocked_again_is_not_gone(device):
    async def scenario():
        async with feed() as news:
            return await heard(news, device, happens, Kind.DEVICE_BLOCKED, device)

    assert not run(scenario()).gone


def test_news_of_others_end_no_wait(device, other):
    async def scenario():
        async with feed() as news:
            wait = asyncio.create_task(news.wait(device.pk, PATIENCE_S))
            await heard(news, other, happens, Kind.SHARED_ATTRIBUTES_CHANGED, other, keys=["a"])
            assert not wait.done()
            await asyncio.to_thread(with_own_connection, happens, Kind.SHARED_ATTRIBUTES_CHANGED, device, keys=["b"])
            return await wait

    assert run(scenario()).attributes == {"deleted": ["b"]}


def test_later_wait_of_a_device_takes_over_and_waits_are_bounded(device, other):
    async def scenario():
        async with feed(max_waits=1) as news:
            first = asyncio.create_task(news.wait(device.pk, PATIENCE_S))
            await asyncio.sleep(0)
            second = asyncio.create_task(news.wait(device.pk, PATIENCE_S))
            assert await first is None
            with pytest.raises(TooManyWaits):
                await news.wait(other.pk, PATIENCE_S)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            assert await news.wait(other.pk, 0.01) is None

    run(scenario())


def test_stop_ends_every_wait(device):
    async def scenario():
        async with feed() as news:
            wait = asyncio.create_task(news.wait(device.pk, PATIENCE_S))
            await asyncio.sleep(0)
        return await wait

    assert run(scenario()) is None
