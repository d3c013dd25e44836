"""Changes of shared attributes, from the event log to what the bridge publishes."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from devices.models import Device
from devices.services import device_create, shared_attributes_delete, shared_attributes_set
from events.models import ReaderPosition
from operations import leases
from operations.leases import take_lease
from profiles.models import DeviceProfile
from tests.support.processes import wait_for
from transports.mqtt.bridge.attribute_updates import READER, AttributeUpdates
from transports.mqtt.bridge.device_topics import DeviceTopics
from transports.mqtt.bridge.messages import Answer

TOPICS = DeviceTopics("devices/{name}", "devices/{name}/down")


class Publisher:
    """Replaces the bridge: keeps what is sent, and acknowledges it at once unless `broken`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.broken = False

    def is_ready(self) -> bool:
        return not self.broken

    def send(self, answer: Answer, on_done: Callable[[], None]) -> None:
        assert answer.own
        self.sent.append((answer.topic, json.loads(answer.body)))
        if not self.broken:
            on_done()

    def got(self, topic: str) -> list[Any]:
        return [body for name, body in self.sent if name == topic]


@pytest.fixture
def gateway(transactional_db: None) -> Device:
    return device_create(name="gate", profile=DeviceProfile.objects.create(name="p"), gateway=True)


@pytest.fixture
def start() -> Iterator[Callable[[], Publisher]]:
    """Return a function that starts a bridge's updates, and waits until it has begun to follow the log."""
    running: list[AttributeUpdates] = []

    def start_one() -> Publisher:
        publisher = Publisher()
        running.append(AttributeUpdates(TOPICS, publisher))
        running[-1].start()
        return publisher

    yield start_one
    for one in running:
        one.stop()


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE", timedelta(seconds=1))


def _begun() -> bool:
    return ReaderPosition.objects.filter(name=READER).exclude(position="").exists()


def test_change_reaches_the_device_and_its_gateway(gateway: Device, start: Callable[[], Publisher]):
    child = device_create(name="child", profile=gateway.profile, parent_gateway=gateway)
    publisher = start()
    wait_for(_begun, "the first position")

    shared_attributes_set(device=child, values={"interval": 10})
    wait_for(lambda: publisher.got("devices/child/down/attributes"), "the update")
    shared_attributes_delete(device=child, keys=["interval"])
    wait_for(lambda: len(publisher.got("devices/gate/down/gateway/attributes")) == 2, "the deletion")

    assert publisher.got("devices/child/down/v2/a") == [{"interval": 10}, {"deleted": ["interval"]}]
    assert publisher.got("devices/gate/down/gateway/attributes")[0] == {"device": "child", "data": {"interval": 10}}
    assert not publisher.got("devices/gate/down/attributes")


def test_only_the_bridge_with_the_lease_publishes(gateway: Device, start: Callable[[], Publisher]):
    publishers = [start(), start()]
    wait_for(_begun, "the first position")

    for number in range(5):
        shared_attributes_set(device=gateway, values={"n": number})
    topic = "devices/gate/down/attributes"
    wait_for(lambda: any({"n": 4} in publisher.got(topic) for publisher in publishers), "the last update")

    assert sorted(bool(publisher.sent) for publisher in publishers) == [False, True]


@pytest.mark.usefixtures("short_lease")
def test_unacknowledged_update_is_left_to_the_next_bridge(gateway: Device, start: Callable[[], Publisher]):
    first = start()
    wait_for(_begun, "the first position")
    first.broken = True
    # As if the broker went away between reading and sending.
    first.is_ready = lambda: not first.sent
    shared_attributes_set(device=gateway, values={"n": 1})
    wait_for(lambda: first.sent, "the first try")

    second = start()

    wait_for(lambda: second.got("devices/gate/down/attributes") == [{"n": 1}], "the update of the next", 60.0)


@pytest.mark.usefixtures("short_lease")
def test_bridge_without_its_broker_takes_no_lease(gateway: Device, start: Callable[[], Publisher]):
    publisher = start()
    wait_for(_begun, "the first position")
    publisher.broken = True

    wait_for(lambda: take_lease(READER, "another"), "the lease to be free", 60.0)
