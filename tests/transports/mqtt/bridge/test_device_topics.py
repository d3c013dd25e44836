"""Which device published a message on the operator's broker, and where its answers go."""

import uuid

import pytest

from devices.models import Device
from transports.mqtt.bridge.device_topics import DeviceTopics, Sender
from transports.mqtt.topics import matches

PLUGIN = DeviceTopics("devices/{name}", "devices/{name}/down")
MOUNT = DeviceTopics("devices/{id}", "devices/{id}")
ID = uuid.UUID("0192f000-0000-7000-8000-000000000001")


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("v1/devices/me/telemetry", "devices/d1/telemetry"),
        ("v1/devices/me/attributes/request/7", "devices/d1/attributes/request/7"),
        ("v2/t/j", "devices/d1/v2/t/j"),
        ("v1/gateway/attributes/request", "devices/d1/gateway/attributes/request"),
    ],
)
def test_topic_of_a_device_as_the_plugin_for_mosquitto_maps_it(inside: str, outside: str):
    assert PLUGIN.sender(outside) == Sender("d1", None, inside)
    assert any(matches(outside, topic_filter) for topic_filter in PLUGIN.filters)
    assert PLUGIN.address(Device(name="d1"), inside) == outside.replace("/d1/", "/d1/down/")


@pytest.mark.parametrize("topic", ["devices/d1", "devices", "devices//telemetry", "/devices/d1/telemetry", "else/d1/telemetry"])
def test_topic_of_no_device(topic: str):
    assert PLUGIN.sender(topic) is None


# As topic_level in deploy/mosquitto/plugin/topics.c does.
@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("kitchen/1", "kitchen%2F1"),
        ("50%", "50%25"),
        ("a+#b", "a%2B%23b"),
        ("$a$b", "%24a%24b"),
        ("a$b", "a$b"),
        ("Küche 1", "Küche 1"),
    ],
)
def test_name_is_one_level_of_the_topic(name: str, level: str):
    assert PLUGIN.address(Device(name=name), "v2/a") == f"devices/{level}/down/v2/a"
    assert PLUGIN.sender(f"devices/{level}/v2/t") == Sender(name, None, "v2/t")


def test_what_is_for_devices_is_not_subscribed_to():
    outside = [
        PLUGIN.address(Device(name="d1"), topic) for topic in ("v1/devices/me/attributes", "v2/a", "v1/gateway/attributes")
    ]

    assert not any(matches(topic, topic_filter) for topic in outside for topic_filter in PLUGIN.filters)


def test_mount_point_comes_before_the_topic_as_the_device_has_it():
    assert MOUNT.is_mount
    assert MOUNT.sender(f"devices/{ID}/v1/gateway/connect") == Sender("", ID, "v1/gateway/connect")
    assert MOUNT.sender("devices/no-id/v1/devices/me/telemetry") is None
    assert MOUNT.address(Device(pk=ID, name="d1"), "v1/devices/me/attributes") == f"devices/{ID}/v1/devices/me/attributes"
    assert "devices/+/v1/devices/me/attributes/request/+" in MOUNT.filters


@pytest.mark.parametrize(
    "template", ["", "devices", "devices/{name}/{id}", "devices/+/{name}", "devices/x{name}", "{name}/", "/{name}#"]
)
def test_unusable_template_is_refused(template: str):
    with pytest.raises(ValueError, match="MQTT_TOPIC_FROM_DEVICE"):
        DeviceTopics(template, "devices/{name}/down")
