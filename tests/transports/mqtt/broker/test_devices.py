"""Devices that have their credentials (docs/protocol.md, *With the credentials afterwards*)."""

import json
import secrets

import paho.mqtt.client as paho
import pytest

from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    CONNACK_NOT_AUTHORIZED,
    BareSocket,
    client,
    connect_packet,
    connected,
    gone,
    subscribed,
)
from tests.support.processes import wait_for

TELEMETRY, ATTRIBUTES = "v1/devices/me/telemetry", "v1/devices/me/attributes"
FOREIGN = ("#", "+/#", "v1/devices/+/telemetry", "/provision/response", "$SYS/#", f"$share/g/{TELEMETRY}")
REVOKE = """
from devices.models import Device
result = Device.objects.filter(name=given["name"]).update(blocked=True)
"""


@pytest.fixture(scope="module")
def token(broker):
    return broker.add_device("with-token")


def published(one: paho.Client, topic: str, values: object) -> None:
    one.publish(topic, json.dumps(values), qos=1).wait_for_publish(20)


@pytest.mark.parametrize("protocol", [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5])
def test_token_as_username_stores_telemetry_and_attributes(broker, token, protocol):
    device = connected(broker.port, username=token, client_id="whatever", password="ignored", protocol=protocol)

    published(device, TELEMETRY, {"protocol": int(protocol)})
    published(device, ATTRIBUTES, {"firmware": int(protocol)})

    assert broker.telemetry()["with-token"]["protocol"] == protocol
    assert broker.attributes("with-token") == {"firmware": protocol}
    gone(device)


@pytest.mark.parametrize(
    ("stored", "presented", "admitted"),
    [
        (("id", "name", "pass"), ("id", "name", "pass"), True),
        (("id", "name", "pass"), ("id", "name", "wrong"), False),
        (("id", "name", "pass"), ("id", "name", None), False),
        (("id", "name", "pass"), ("other", "name", "pass"), False),
        (("id", "name", "pass"), ("id", None, None), False),
        (("id", "name", ""), ("id", "name", "any"), True),
        (("id", "name", ""), ("id", "name", None), True),
        (("", "name", "pass"), ("any", "name", "pass"), True),
        (("", "name", "pass"), ("any", "name", "wrong"), False),
        (("", "name", ""), ("x" * 300, "name", b"\xff\0"), True),
        (("id", "", ""), ("id", None, None), True),
        (("id", "", ""), ("id", "any", None), False),
    ],
)
def test_mqtt_basic_credentials_admit(broker, stored, presented, admitted):
    # Of this case only, in place of "id" and "name".
    case = secrets.token_hex(4)
    own = [part.replace("id", f"id-{case}").replace("name", f"name-{case}") for part in stored]
    broker.add_device(f"basic {case}", **dict(zip(("client_id", "username", "password"), own, strict=True)))
    client_id, username, password = (
        part.replace("id", f"id-{case}").replace("name", f"name-{case}") if isinstance(part, str) else part for part in presented
    )
    one = BareSocket(broker.port)

    one.send(connect_packet(client_id=client_id, username=username, password=password))

    assert one.receive(4) == (CONNACK_ACCEPTED if admitted else CONNACK_NOT_AUTHORIZED)
    one.close()


@pytest.mark.parametrize(
    ("client_id", "password"), [("", None), ("provision", "x"), ("c" * 5_000, "p" * 5_000), (b"\xff\xfe", b"\0\xff")]
)
@pytest.mark.parametrize("level", [3, 4, 5])
def test_token_is_admitted_whatever_else_is_presented(broker, token, client_id, password, level):
    one = BareSocket(broker.port)

    one.send(connect_packet(client_id=client_id, username=token, password=password, level=level, clean=False))

    assert one.receive(4)[3] == 0
    one.close()


def test_wrong_credentials_are_named_so_in_mqtt_5(broker):
    one = BareSocket(broker.port)

    one.send(connect_packet(username="no such token", level=5))

    assert one.receive(99) == bytes((0x20, 3, 0, 0x86, 0))


@pytest.mark.parametrize("topic", ["$SYS/x", "#", "/provision/response/x", "v1/devices/you/telemetry"])
@pytest.mark.parametrize("username", ["provision", "device"])
def test_will_on_a_foreign_topic_is_accepted_and_dropped(broker, bridge, token, topic, username):
    one = BareSocket(broker.port)

    one.send(connect_packet(username=token if username == "device" else username, will=(topic, b"smuggled")))

    assert one.receive(4) == CONNACK_ACCEPTED
    one.close()
    assert bridge.requests == []


def test_wrong_password_under_a_standing_client_id_disturbs_nothing(broker):
    basic = {"client_id": "standing", "username": "standing-name", "password": "right"}
    broker.add_device("standing", **basic)
    lost = []
    standing = connected(broker.port, **basic)
    standing.on_disconnect = lambda *_: lost.append(True)

    for password in ("wrong", ""):
        intruder = client(broker.port, **basic | {"password": password})
        wait_for(lambda one=intruder: one.refused, "CONNACK")
        intruder.loop_stop()
    published(standing, TELEMETRY, {"still": "here"})

    assert lost == []
    assert broker.telemetry()["standing"] == {"still": "here"}
    gone(standing)


def test_two_devices_under_one_client_id_stand_side_by_side(broker, token):
    other = broker.add_device("namesake")
    lost = []
    first = connected(broker.port, client_id="same", username=token)
    first.on_disconnect = lambda *_: lost.append(True)
    second = connected(broker.port, client_id="same", username=other)

    published(second, TELEMETRY, {"from": "second"})
    published(first, TELEMETRY, {"from": "first"})

    assert lost == []
    stored = broker.telemetry()
    assert (stored["with-token"]["from"], stored["namesake"]["from"]) == ("first", "second")
    gone(first)
    gone(second)


def test_same_device_under_its_client_id_takes_its_session_over(broker, token):
    lost = []
    first = connected(broker.port, client_id="mine", username=token, protocol=paho.MQTTv5, reconnect_on_failure=False)
    first.on_disconnect = lambda _client, _userdata, _flags, reason, _properties: lost.append(reason.getName())

    second = connected(broker.port, client_id="mine", username=token)

    wait_for(lambda: lost, "the end of the first session")
    assert lost == ["Session taken over"]
    assert second.is_connected()
    gone(second)


@pytest.mark.parametrize("topic_filter", FOREIGN)
def test_subscription_to_foreign_topics_is_refused(broker, token, topic_filter):
    device = connected(broker.port, username=token)

    assert subscribed(device, topic_filter) == 128
    gone(device)


def test_device_hears_nothing_of_another(broker, token):
    other = broker.add_device("spied upon")
    spy = connected(broker.port, username=token)
    for topic_filter in ("v1/devices/me/#", "v1/devices/me/+", TELEMETRY, ATTRIBUTES):
        assert subscribed(spy, topic_filter) == 0
    device = connected(broker.port, username=other)

    published(device, TELEMETRY, {"secret": 1})
    published(spy, TELEMETRY, {"own": 1})

    assert spy.got == []
    assert broker.telemetry()["spied upon"] == {"secret": 1}
    gone(spy)
    gone(device)


def test_device_that_is_blocked_loses_its_connection_with_its_next_message(broker):
    token = broker.add_device("to be blocked")
    lost = []
    device = connected(broker.port, username=token, protocol=paho.MQTTv5, reconnect_on_failure=False)
    device.on_disconnect = lambda _client, _userdata, _flags, reason, _properties: lost.append(reason.getName())
    broker.shell(REVOKE, name="to be blocked")

    device.publish(TELEMETRY, b'{"too": "late"}', qos=1)

    wait_for(lambda: lost, "the end of the session")
    assert lost == ["Not authorized"]
    assert "to be blocked" not in broker.telemetry()


def test_will_for_own_telemetry_is_stored_when_the_connection_breaks(broker, token):
    device = paho.Client(paho.CallbackAPIVersion.VERSION2)
    device.username_pw_set(token)
    device.will_set(TELEMETRY, b'{"state": "lost"}')
    device.connect("127.0.0.1", broker.port)
    device.loop_start()
    wait_for(device.is_connected, "CONNACK")
    device.loop_stop()

    device.socket().close()

    wait_for(lambda: broker.telemetry().get("with-token", {}).get("state") == "lost", "the will")


@pytest.mark.parametrize("topic", [TELEMETRY, ATTRIBUTES])
def test_keys_beyond_the_quota_are_refused_with_a_reason_of_their_own(broker, topic):
    name, reasons = f"quota of {topic}", []
    device = connected(broker.port, username=broker.add_device(name), protocol=paho.MQTTv5)
    device.on_publish = lambda _client, _userdata, _mid, reason, _properties: reasons.append(reason.getName())

    for values in ({f"key {number}": 0 for number in range(1000)}, {"one more": 0}, {"key 1": 7}):
        published(device, topic, values)

    wait_for(lambda: len(reasons) == 3, "the PUBACKs")
    assert reasons == ["Success", "Quota exceeded", "Success"]
    gone(device)
