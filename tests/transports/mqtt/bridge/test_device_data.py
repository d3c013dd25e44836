"""Data of devices between the bridge and the database, without a broker."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError, OperationalError

from devices.models import Device, DeviceAttribute, LatestTelemetry
from devices.services import device_create
from profiles.models import DeviceProfile
from tests.support.bridge import TOPICS, HeldRequests, ReplyChannel
from tests.support.processes import wait_for
from transports.mqtt.bridge import device_data
from transports.mqtt.bridge.delivery import Delivery
from transports.mqtt.bridge.device_data import DeviceData
from transports.mqtt.bridge.device_topics import DeviceTopics
from transports.mqtt.bridge.messages import Answer, Message, Outcome
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.device_api import device_topics

ATTRIBUTES = "devices/d1/attributes"


@pytest.fixture
def device(transactional_db: None) -> Device:
    return device_create(name="d1", profile=DeviceProfile.objects.create(name="p"))


@pytest.fixture
def data() -> Iterator[DeviceData]:
    one = DeviceData(DeviceTopics("devices/{name}", "devices/{name}/down"))
    yield one
    one.close()


def serve(data: DeviceData, topic: str, body: Any) -> Outcome:
    return data.serve(Message(topic, json.dumps(body).encode())).result(30)


def test_message_is_acknowledged_once_it_is_stored(device: Device, data: DeviceData, channel: ReplyChannel):
    delivery = Delivery(ReplyPolicy(TOPICS, shared=False, handle=HeldRequests()), lambda: None, data)
    delivery.connected(channel, session_present=False)

    delivery.arrived(Message(ATTRIBUTES, b'{"firmware": "1"}'), 7)
    wait_for(lambda: delivery.collect() or channel.acknowledged, "the acknowledgement")

    assert channel.acknowledged == [7]
    assert list(DeviceAttribute.objects.filter(device=device, key="firmware").values_list("value", flat=True)) == ["1"]
    assert channel.published == []


def test_retained_messages_and_those_of_bridges_are_not_stored(device: Device, data: DeviceData, channel: ReplyChannel):
    delivery = Delivery(ReplyPolicy(TOPICS, shared=False, handle=HeldRequests()), lambda: None, data)
    delivery.connected(channel, session_present=False)

    delivery.arrived(Message(ATTRIBUTES, b'{"firmware": "1"}', retained=True), 1)
    delivery.arrived(Message(ATTRIBUTES, b'{"firmware": "2"}', own=True), 2)

    assert channel.acknowledged == [1, 2]
    assert delivery.unfinished == 0


def test_update_is_sent_again_on_the_next_connection_until_the_broker_has_it(data: DeviceData, channel: ReplyChannel):
    delivery = Delivery(ReplyPolicy(TOPICS, shared=False, handle=HeldRequests()), lambda: None, data)
    done: list[bool] = []
    delivery.send(Answer("devices/d1/down/attributes", b"{}"), lambda: done.append(True))
    delivery.collect()
    delivery.connected(channel, session_present=False)
    delivery.disconnected()
    delivery.connected(channel, session_present=True)
    assert len(channel.published) == 2
    assert not done

    delivery.handed_over(channel.under_way[1], "")

    assert done == [True]
    assert delivery.unfinished == 0


def test_messages_wait_in_order_while_the_database_is_unavailable(
    device: Device, data: DeviceData, monkeypatch: pytest.MonkeyPatch
):
    serve_really, failures = device_topics.serve, iter((OperationalError, OperationalError))

    def fail_twice(*arguments: Any) -> Any:
        if error := next(failures, None):
            raise error
        return serve_really(*arguments)

    monkeypatch.setattr(device_data, "RETRY_INTERVAL_S", 0.01)
    monkeypatch.setattr(device_topics, "serve", fail_twice)
    futures = [data.serve(Message(ATTRIBUTES, b'{"n": %d}' % number)) for number in range(20)]

    assert all(future.result(30) == Outcome() for future in futures)
    assert DeviceAttribute.objects.get(device=device, key="n").value == 19


def test_stopping_bridge_leaves_what_it_cannot_store_to_the_broker(
    device: Device, data: DeviceData, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any) -> Any:
        raise OperationalError

    monkeypatch.setattr(device_topics, "serve", fail)
    waiting = data.serve(Message(ATTRIBUTES, b"{}"))
    data.stop()

    assert waiting.result(30).held
    assert serve(data, ATTRIBUTES, {}).held


def test_message_that_can_never_be_stored_holds_up_no_other(device: Device, data: DeviceData, monkeypatch: pytest.MonkeyPatch):
    serve_really = device_topics.serve

    def fail_once(*arguments: Any) -> Any:
        monkeypatch.setattr(device_topics, "serve", serve_really)
        raise DataError

    monkeypatch.setattr(device_topics, "serve", fail_once)

    assert serve(data, "devices/d1/telemetry", {"a": 1}) == Outcome()
    assert serve(data, "devices/d1/telemetry", {"b": 2}) == Outcome()
    assert list(LatestTelemetry.objects.values_list("key", flat=True)) == ["b"]


def test_blocked_unknown_and_overreaching_devices_leave_nothing(device: Device, data: DeviceData):
    serve(data, "devices/unknown/telemetry", {"a": 1})
    serve(data, "devices/d1/gateway/telemetry", {"child": [{"a": 1}]})
    device.refresh_from_db()
    assert "no gateway" in device.last_problem
    Device.objects.update(blocked=True)
    serve(data, "devices/d1/telemetry", {"a": 1})

    assert not LatestTelemetry.objects.exists()
    assert Device.objects.count() == 1
