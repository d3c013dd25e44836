"""Unmodified firmware on a Mosquitto with the plugin: it asks, and hears its own answer alone."""

from concurrent.futures import ThreadPoolExecutor

import paho.mqtt.client as paho
import pytest
from paho.mqtt.client import MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.deploy.mosquitto_plugin.conftest import MakeBroker
from tests.support.broker_feed import SECRET
from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    BareSocket,
    connect_packet,
    connected,
    gone,
    packet,
    publish_packet,
    subscribed,
    text,
)
from tests.support.processes import wait_for

REQUEST, RESPONSE = "/provision/request", "/provision/response"
SUBSCRIBE = packet(0x82, b"\x00\x01" + text(RESPONSE) + b"\x00")
SUBACK = b"\x90\x03\x00\x01\x00"
REFUSED = 0x80


class Bridge:
    """Answers each request with "echo " and the request, as Firstlight's bridge does: at the same level of the response topic."""

    def __init__(self, broker: PluginMosquitto) -> None:
        self.topics: list[str] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bridge-1", clean_session=False)
        self.client.username_pw_set("bridge", SECRET)
        self.client.on_message = self._answer  # before it is connected: requests may be waiting
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        wait_for(self.client.is_connected, "the bridge's CONNACK")
        assert subscribed(self.client, f"{REQUEST}/+", 1) == 1

    def _answer(self, client, _userdata, message) -> None:
        self.topics.append(message.topic)
        client.publish(message.topic.replace("request", "response", 1), b"echo " + message.payload, qos=1)


@pytest.fixture
def bridge(broker: PluginMosquitto):
    one = Bridge(broker)
    yield one
    gone(one.client)


def firmware(
    broker: PluginMosquitto, *, client_id: str, username: str | None = "provision", subscribe: bool = True
) -> BareSocket:
    """Connect as a device that has no credentials yet."""
    bare = BareSocket(broker.port)
    bare.send(connect_packet(client_id=client_id, username=username))
    assert bare.receive(4) == CONNACK_ACCEPTED
    if subscribe:
        bare.send(SUBSCRIBE)
    return bare


def answer(bare: BareSocket, expected: bytes, *, subscribed_first: bool = True) -> None:
    message = publish_packet(RESPONSE, expected)
    whole = (SUBACK if subscribed_first else b"") + message
    assert bare.receive(len(whole)) == whole


def test_two_hundred_clients_at_once_each_hear_their_own_answer_alone(broker: PluginMosquitto, bridge: Bridge):
    clients = [firmware(broker, client_id="" if number % 2 else f"own-{number}") for number in range(200)]

    for number, bare in enumerate(clients):
        bare.send(publish_packet(REQUEST, b"%03d" % number))
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda pair: answer(pair[1], b"echo %03d" % pair[0]), enumerate(clients)))
    for bare in clients:
        bare.send(b"\xc0\x00")  # PINGREQ: the next packet is its answer, so nothing else has come
        assert bare.receive(2) == b"\xd0\x00"
        bare.close()
    assert len(set(bridge.topics)) == 200


def test_firmware_is_answered_whatever_it_calls_itself(broker: PluginMosquitto, bridge: Bridge):
    names = [("provision", None), ("provision", "provision"), ("a/b+c#d", "provision"), ("é %2F", "provision"), ("provision", "")]
    for client_id, username in names:
        bare = firmware(broker, client_id=client_id, username=username)
        bare.send(publish_packet(REQUEST, b"please", packet_id=7))
        expected = SUBACK + b"\x40\x02\x00\x07" + publish_packet(RESPONSE, b"echo please")
        assert bare.receive(len(expected)) == expected
        bare.close()


def test_firmware_that_never_subscribes_is_answered(broker: PluginMosquitto, bridge: Bridge):
    bare = firmware(broker, client_id="quiet", subscribe=False)
    bare.send(publish_packet(REQUEST, b"please"))
    answer(bare, b"echo please", subscribed_first=False)
    bare.close()


@pytest.mark.parametrize("version", [4, 5])
def test_new_firmware_may_use_topics_of_its_own_and_is_answered_once(broker: PluginMosquitto, bridge: Bridge, version: int):
    options = {"protocol": MQTTv5} if version == 5 else {}
    one = connected(broker.port, client_id="d1", username="provision", **options)
    assert subscribed(one, f"{RESPONSE}/d1", 1) == 1
    one.publish(f"{REQUEST}/d1", b"please", qos=1)
    wait_for(lambda: one.got, "the answer")
    one.publish(f"{REQUEST}/d1", b"again", qos=1)
    wait_for(lambda: len(one.got) > 1, "the second answer")
    assert one.got == [(f"{RESPONSE}/d1", b"echo please"), (f"{RESPONSE}/d1", b"echo again")]
    gone(one)


def test_eavesdroppers_hear_nothing(broker: PluginMosquitto, bridge: Bridge):
    eve = connected(broker.port, client_id="eve", username="provision")
    filters = ("#", "+/#", "/#", f"{RESPONSE}/#", f"{RESPONSE}/+", f"{RESPONSE}/victim", f"{REQUEST}/#", f"{REQUEST}/+")
    shared = [f"$share/group/{one}" for one in (*filters, RESPONSE)]
    assert {subscribed(eve, one) for one in (*filters, *shared, "$SYS/#", "v1/devices/me/#")} == {REFUSED}
    assert subscribed(eve, RESPONSE) == 0
    assert subscribed(eve, f"{RESPONSE}/eve") == 0

    victim = firmware(broker, client_id="victim")
    victim.send(publish_packet(REQUEST, b"secret"))
    answer(victim, b"echo secret")
    eve.publish(f"{REQUEST}", b"my own", qos=1)
    wait_for(lambda: eve.got, "its own answer")
    assert eve.got == [(f"{RESPONSE}/eve", b"echo my own")]
    gone(eve)
    victim.close()


def test_a_provisioning_client_that_publishes_anything_else_is_cut_off(broker: PluginMosquitto):
    for topic in (f"{REQUEST}/other", RESPONSE, f"{RESPONSE}/other", "v1/devices/me/telemetry", "anything"):
        bare = firmware(broker, client_id="d1", subscribe=False)
        bare.send(publish_packet(topic, b"{}", packet_id=1))
        assert bare.receive(4) == b"", topic


def test_a_retained_request_is_not_kept_for_the_next_bridge(broker: PluginMosquitto):
    bare = firmware(broker, client_id="d1", subscribe=False)
    retained = publish_packet(REQUEST, b"old", packet_id=1)
    bare.send(bytes((retained[0] | 1,)) + retained[1:])
    assert bare.receive(4) == b"\x40\x02\x00\x01"

    bridge = Bridge(broker)
    bare.send(publish_packet(REQUEST, b"new"))
    answer(bare, b"echo new", subscribed_first=False)
    assert bridge.topics == [f"{REQUEST}/d1"]
    gone(bridge.client)
    bare.close()


def test_requests_wait_for_an_absent_bridge_and_survive_a_restart_of_the_broker(make_broker: MakeBroker):
    broker = make_broker(configuration="persistence true\npersistence_location ./\npersistence_file waiting.db")
    gone(Bridge(broker).client)  # its session stays
    bare = firmware(broker, client_id="d1", subscribe=False)
    bare.send(publish_packet(REQUEST, b"please", packet_id=1))
    assert bare.receive(4) == b"\x40\x02\x00\x01"
    broker.stop()
    broker.start()
    again = firmware(broker, client_id="d1", subscribe=False)

    bridge = Bridge(broker)
    answer(again, b"echo please", subscribed_first=False)
    gone(bridge.client)
    again.close()


def test_answer_to_a_disconnected_client_reaches_no_other(broker: PluginMosquitto, bridge: Bridge):
    other = firmware(broker, client_id="other")
    assert other.receive(len(SUBACK)) == SUBACK
    bridge.client.publish(f"{RESPONSE}/gone", b"for no client", qos=1)
    bridge.client.publish(f"{RESPONSE}/other", b"for the other", qos=1)
    answer(other, b"for the other", subscribed_first=False)
    other.close()
