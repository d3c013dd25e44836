"""What clients of a Mosquitto with the plugin may say and hear."""

import pytest
from paho.mqtt.client import MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.deploy.mosquitto_plugin.conftest import MakeBroker
from tests.support.broker_feed import SECRET, FeedDevice, FeedServer
from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    BareSocket,
    connect_packet,
    connected,
    gone,
    publish_packet,
    subscribed,
    unsubscribed,
)
from tests.support.processes import wait_for

DEVICE = FeedDevice("kitchen/1", token="token-1")
OTHER = FeedDevice("cellar", token="token-2")
GATEWAY = FeedDevice("gateway", token="token-3", gateway=True)
OUTBOX = "devices/kitchen%2F1"
TELEMETRY = "v1/devices/me/telemetry"
REFUSED = 0x80
PUBACK_1 = b"\x40\x02\x00\x01"


@pytest.fixture
def feed(feed: FeedServer) -> FeedServer:
    feed.put(DEVICE, OTHER, GATEWAY)
    return feed


@pytest.fixture
def bridge(broker: PluginMosquitto):
    one = connected(broker.port, client_id="bridge-1", username="bridge", password=SECRET)
    subscribed(one, "#", 1)
    yield one
    gone(one)


def as_device(broker: PluginMosquitto, device: FeedDevice = DEVICE, **connect) -> BareSocket:
    bare = BareSocket(broker.port)
    bare.send(connect_packet(username=device.token, **connect))
    assert bare.receive(4) == CONNACK_ACCEPTED
    return bare


def test_what_a_device_publishes_comes_out_on_topics_of_its_own(broker: PluginMosquitto, bridge):
    device, gateway = as_device(broker), as_device(broker, GATEWAY)
    for number, topic in enumerate((TELEMETRY, "v1/devices/me/attributes", "v2/t"), 1):
        device.send(publish_packet(topic, topic.encode(), packet_id=number))
    assert device.receive(12) == b"".join(b"\x40\x02\x00" + bytes((n,)) for n in (1, 2, 3))
    gateway.send(publish_packet("v1/gateway/connect", b"child", packet_id=1))
    assert gateway.receive(4) == PUBACK_1

    wait_for(lambda: len(bridge.got) == 4, "four messages")
    assert bridge.got == [
        (f"{OUTBOX}/telemetry", TELEMETRY.encode()),
        (f"{OUTBOX}/attributes", b"v1/devices/me/attributes"),
        (f"{OUTBOX}/v2/t", b"v2/t"),
        ("devices/gateway/gateway/connect", b"child"),
    ]


def test_a_message_on_another_topic_ends_the_connection_and_is_not_acknowledged(broker: PluginMosquitto):
    inbox = "v1/devices/me/down/rpc/request/1"
    for topic in ("other", f"{OUTBOX}/telemetry", inbox, "v1/gateway/connect", "/provision/request"):
        device = as_device(broker)
        device.send(publish_packet(topic, b"{}", packet_id=1))
        assert device.receive(4) == b"", topic


def test_mqtt_5_gets_the_reason_and_stays_connected(broker: PluginMosquitto):
    device = connected(broker.port, username="token-1", protocol=MQTTv5)
    codes: list[int] = []
    device.on_publish = lambda _client, _userdata, _mid, reason, _properties: codes.append(reason.value)
    for topic in ("other", TELEMETRY):
        device.publish(topic, b"{}", qos=1)
    wait_for(lambda: len(codes) == 2, "two PUBACKs")
    assert codes[0] == 0x87
    assert codes[1] in {0, 0x10}
    gone(device)


def test_the_operator_reaches_one_device_and_only_where_it_listens(broker: PluginMosquitto, bridge):
    device, other = connected(broker.port, username="token-1"), connected(broker.port, username="token-2")
    for one in (device, other):
        assert subscribed(one, "v1/devices/me/attributes", 1) == 1
    assert subscribed(device, "v1/devices/me/rpc/request/+") == 0

    bridge.publish(f"{OUTBOX}/down/attributes", b"for one", qos=1)
    bridge.publish(f"{OUTBOX}/down/attributes/response/1", b"not subscribed")
    bridge.publish(f"{OUTBOX}/down/rpc/request/7", b"call")
    bridge.publish("devices/cellar/down/attributes", b"for the other")

    wait_for(lambda: len(device.got) == 2 and other.got, "the messages")
    assert device.got == [("v1/devices/me/attributes", b"for one"), ("v1/devices/me/rpc/request/7", b"call")]
    assert other.got == [("v1/devices/me/attributes", b"for the other")]
    unsubscribed(device, "v1/devices/me/attributes")
    bridge.publish(f"{OUTBOX}/down/attributes", b"too late", qos=1)
    bridge.publish(f"{OUTBOX}/down/rpc/request/8", b"last", qos=1)
    wait_for(lambda: ("v1/devices/me/rpc/request/8", b"last") in device.got, "the last message")
    assert b"too late" not in [body for _, body in device.got]
    gone(device)
    gone(other)


def test_foreign_topics_cannot_be_subscribed_to(broker: PluginMosquitto, bridge):
    eve = connected(broker.port, username="token-2")
    filters = ("#", "+/#", "devices/#", f"{OUTBOX}/telemetry", "$share/x/devices/+/telemetry", "v1/#", "v1/devices/+/telemetry")
    assert {subscribed(eve, one) for one in (*filters, "v1/gateway/#", "/provision/response", "/provision/request/#")} == {
        REFUSED
    }
    assert subscribed(eve, "v1/devices/me/#") == 0

    device = as_device(broker)
    device.send(publish_packet(TELEMETRY, b"private", packet_id=1))
    assert device.receive(4) == PUBACK_1
    wait_for(lambda: bridge.got, "the message at the bridge")
    assert eve.got == []
    gone(eve)


def test_a_will_comes_out_where_the_devices_messages_do_and_a_foreign_one_nowhere(broker: PluginMosquitto, bridge):
    for topic in ("other", "devices/cellar/telemetry", TELEMETRY):
        device = as_device(broker, will=(topic, topic.encode()))
        device.close()  # without DISCONNECT

    wait_for(lambda: bridge.got, "the will")
    marker = as_device(broker)
    marker.send(publish_packet(TELEMETRY, b"afterwards", packet_id=1))
    wait_for(lambda: (f"{OUTBOX}/telemetry", b"afterwards") in bridge.got, "the message after the wills")
    assert bridge.got == [(f"{OUTBOX}/telemetry", TELEMETRY.encode()), (f"{OUTBOX}/telemetry", b"afterwards")]


def test_devices_of_a_profile_may_use_the_topics_of_its_pattern(broker: PluginMosquitto, feed: FeedServer):
    feed.put(new := FeedDevice("new", token="token-4"))
    wait_for(lambda: new.key in broker.replica.read_text(), "the new device")
    for device in (OTHER, new):
        one = connected(broker.port, username=device.token)
        assert subscribed(one, f"plant/{device.name}/#", 1) == 1
        assert subscribed(one, "plant/#") == REFUSED
        one.publish(f"plant/{device.name}/state", b"on", qos=1)
        wait_for(lambda one=one: one.got, "its own message")
        assert one.got == [(f"plant/{device.name}/state", b"on")]
        gone(one)


def test_a_retained_message_waits_for_the_operator(broker: PluginMosquitto):
    device = as_device(broker)
    retained = publish_packet(TELEMETRY, b"latest", packet_id=1)
    device.send(bytes((retained[0] | 1,)) + retained[1:])
    assert device.receive(4) == PUBACK_1
    device.close()

    service = connected(broker.port, username="bridge", password=SECRET)
    subscribed(service, "devices/#")
    wait_for(lambda: service.got, "the retained message")
    assert service.got == [(f"{OUTBOX}/telemetry", b"latest")]
    gone(service)


def test_a_will_survives_a_takeover_of_the_session(broker: PluginMosquitto, bridge):
    as_device(broker, client_id="same", will=(TELEMETRY, b"the first one's"))
    second = as_device(broker, client_id="same")
    wait_for(lambda: bridge.got, "the will")
    assert bridge.got == [(f"{OUTBOX}/telemetry", b"the first one's")]
    second.close()


def test_properties_of_mqtt_5_go_along(broker: PluginMosquitto, bridge):
    device = connected(broker.port, username="token-1", protocol=MQTTv5)
    heard = []
    device.on_message = lambda _client, _userdata, message: heard.append(message)
    subscribed(device, "v1/devices/me/#", 1)
    service = connected(broker.port, username="bridge", password=SECRET, protocol=MQTTv5)
    properties = Properties(PacketTypes.PUBLISH)
    properties.CorrelationData = b"7"
    service.publish(f"{OUTBOX}/down/rpc/request/1", b"call", qos=1, properties=properties)

    wait_for(lambda: heard, "the call")
    assert (heard[0].topic, heard[0].properties.CorrelationData) == ("v1/devices/me/rpc/request/1", b"7")
    gone(device)
    gone(service)


def test_the_topics_are_options(make_broker: MakeBroker):
    broker = make_broker(topic_from_device="plant/{id}", topic_to_device="plant/{id}/commands")
    broker.wait_for_log("a new list of")
    bridge = connected(broker.port, username="bridge", password=SECRET)
    subscribed(bridge, "plant/#", 1)
    device = connected(broker.port, username="token-1")
    subscribed(device, "v1/devices/me/#", 1)

    key = DEVICE.key
    uuid = f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"
    device.publish(TELEMETRY, b"up", qos=1)
    bridge.publish(f"plant/{uuid}/commands/attributes", b"down", qos=1)
    wait_for(lambda: bridge.got and device.got, "both messages")
    assert bridge.got == [(f"plant/{uuid}/telemetry", b"up")]
    assert device.got == [("v1/devices/me/attributes", b"down")]
    gone(device)
    gone(bridge)
