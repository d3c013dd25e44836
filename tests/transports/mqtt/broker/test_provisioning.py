"""Devices that ask for credentials, with the clients that firmware is built on."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.mqtt import EchoBridge, client, connected, gone, subscribed
from tests.support.processes import program, wait_for

REQUEST, RESPONSE = "/provision/request", "/provision/response"
WHO = {
    "username": {"username": "provision"},
    "client id": {"client_id": "provision"},
    "both": {"username": "provision", "client_id": "provision"},
    "username and own client id": {"username": "provision", "client_id": "sensor-17"},
}


@pytest.fixture
def listener(broker):
    """An eavesdropper, subscribed to every topic that could carry another's reply."""
    one = connected(broker.port, username="provision", client_id="provision")
    one.subscribe(
        [(topic, 0) for topic in ("#", "+/+/+", "/provision/#", "/provision/+", f"{RESPONSE}/+", f"{RESPONSE}/#", RESPONSE)]
    )
    assert subscribed(one, "$share/all/#") == 128
    yield one
    gone(one)


@pytest.mark.parametrize("protocol", [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5])
@pytest.mark.parametrize("who", WHO)
def test_request_of_any_deployed_form_gets_its_reply(broker, bridge, who, protocol):
    device = connected(broker.port, protocol=protocol, **WHO[who])
    assert subscribed(device, RESPONSE) == 0

    device.publish(REQUEST, b"a request")

    wait_for(lambda: device.got, "the reply")
    assert device.got == [(RESPONSE, b"echo a request")]
    gone(device)


def test_client_that_never_subscribed_gets_its_reply(broker, bridge):
    device = connected(broker.port, username="provision")

    device.publish(REQUEST, b"a request")

    wait_for(lambda: device.got, "the reply")
    assert device.got == [(RESPONSE, b"echo a request")]
    gone(device)


def test_persistent_session_of_a_shared_client_id_gets_its_own_reply_only(broker, bridge):
    first = connected(broker.port, client_id="provision", clean_session=False)
    second = connected(broker.port, client_id="provision", clean_session=False)

    for one in (first, second):
        one.subscribe(RESPONSE)
    first.publish(REQUEST, b"of the first")
    second.publish(REQUEST, b"of the second")

    wait_for(lambda: first.got and second.got, "both replies")
    assert (first.got, second.got) == ([(RESPONSE, b"echo of the first")], [(RESPONSE, b"echo of the second")])
    gone(first)
    gone(second)


def test_many_clients_at_once_under_one_client_id_each_get_their_own_reply(broker, bridge, listener):
    def provision(number: int) -> list[tuple[str, bytes]]:
        device = connected(broker.port, client_id="provision", username="provision")
        device.subscribe(RESPONSE)
        device.publish(REQUEST, f"request {number}")
        wait_for(lambda: device.got, f"reply {number}")
        gone(device)
        return device.got

    with ThreadPoolExecutor(40) as threads:
        heard = list(threads.map(provision, range(200)))

    assert heard == [[(RESPONSE, f"echo request {number}".encode())] for number in range(200)]
    assert len({topic for topic, _, _ in bridge.requests}) == 200
    assert listener.got == []


@pytest.mark.parametrize("topic_filter", ["#", "/provision/#", "/provision/response/#", "+/+/+", "/provision/request", "$SYS/#"])
def test_subscription_to_anything_else_is_refused(broker, topic_filter):
    device = connected(broker.port, username="provision", client_id="sensor-1")

    assert subscribed(device, topic_filter) == 128
    assert subscribed(device, "/provision/response/sensor-2") == 128
    assert subscribed(device, f"$share/group/{RESPONSE}") == 128
    gone(device)


def test_mosquitto_sub_on_every_wildcard_hears_nothing(broker, bridge):
    listening = subprocess.Popen(
        [
            *(program("mosquitto_sub", "mosquitto-clients"), "-h", "127.0.0.1", "-p", str(broker.port), "-u", "provision", "-d"),
            *("-t", "#", "-t", "/provision/#", "-t", "/provision/response/+", "-t", RESPONSE, "-t", "$SYS/#", "-W", "3"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = iter(listening.stdout.readline, "")
    wait_for(lambda: "Subscribed" in next(lines), "mosquitto_sub's SUBACK")
    device = connected(broker.port, username="provision")
    device.publish(REQUEST, b"a request")
    wait_for(lambda: device.got, "the reply")
    gone(device)

    rest, _ = listening.communicate(timeout=30)

    assert "PUBLISH" not in rest
    assert "echo" not in rest


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
def test_mosquitto_rr_gets_its_reply(broker, bridge, version):
    command = [program("mosquitto_rr", "mosquitto-clients"), "-h", "127.0.0.1", "-p", str(broker.port), "-V", version]

    done = subprocess.run(
        [*command, "-u", "provision", "-i", "rr", "-t", REQUEST, "-e", RESPONSE, "-m", "from mosquitto", "-W", "20"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "echo from mosquitto")


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_pub_at_any_qos_reaches_the_bridge(broker, bridge, version, qos):
    command = [program("mosquitto_pub", "mosquitto-clients"), "-h", "127.0.0.1", "-p", str(broker.port), "-V", version]
    body = f"{version} at {qos}"

    done = subprocess.run(
        [*command, "-u", "provision", "-t", REQUEST, "-m", body, "-q", str(qos)], capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr
    wait_for(lambda: bridge.requests, "the request")
    assert bridge.bodies() == [body.encode()]


def test_per_client_topics_of_new_firmware_carry_its_reply(broker, bridge):
    device = connected(broker.port, username="provision", client_id="sensor-17")
    assert subscribed(device, "/provision/response/sensor-17", qos=1) == 1

    device.publish("/provision/request/sensor-17", b"a request", qos=1)

    wait_for(lambda: device.got, "the reply")
    assert device.got == [("/provision/response/sensor-17", b"echo a request")]
    gone(device)


def test_response_topic_and_correlation_data_come_back(broker, bridge):
    device = connected(broker.port, username="provision", protocol=paho.MQTTv5)
    heard = []
    device.on_message = lambda _client, _userdata, message: heard.append(message)
    for number in (1, 2):
        wishes = Properties(PacketTypes.PUBLISH)
        wishes.ResponseTopic, wishes.CorrelationData = f"{RESPONSE}/{number}", f"mark {number}".encode()
        device.publish(REQUEST, f"request {number}", properties=wishes)

    wait_for(lambda: len(heard) == 2, "both replies")
    assert [(one.topic, one.payload, one.properties.CorrelationData) for one in heard] == [
        (f"{RESPONSE}/{number}", f"echo request {number}".encode(), f"mark {number}".encode()) for number in (1, 2)
    ]
    gone(device)


def test_retained_request_is_not_kept(broker, bridge):
    device = connected(broker.port, username="provision")
    device.publish(REQUEST, b"retained", qos=1, retain=True).wait_for_publish(10)
    gone(device)

    later = connected(broker.port, username="provision")
    assert subscribed(later, RESPONSE) == 0
    later.publish(REQUEST, b"the last")
    wait_for(lambda: later.got, "the reply")

    assert later.got == [(RESPONSE, b"echo the last")]
    assert bridge.bodies() == [b"retained", b"the last"]
    gone(later)


def test_stranger_is_refused(broker):
    for options in ({}, {"client_id": "sensor"}, {"username": "bridge", "password": "wrong"}, {"username": "no-such-token"}):
        stranger = client(broker.port, **options)
        wait_for(lambda one=stranger: one.refused, "CONNACK")
        assert stranger.refused[0].getName() == "Not authorized"
        stranger.loop_stop()


def test_tb_mqtt_client_provisions_unmodified(broker, tb_client):
    answer = b'{"status": "SUCCESS", "credentialsType": "ACCESS_TOKEN", "credentialsValue": "a-token"}'
    bridge = EchoBridge(broker.port, answer=lambda _body: answer)
    script = """
import json, sys
from tb_device_mqtt import TBDeviceMqttClient
print(json.dumps(TBDeviceMqttClient.provision("127.0.0.1", "key", "secret", port=int(sys.argv[1]), device_name="tb-1")))
"""

    assert tb_client.run(script, broker.port)["credentialsValue"] == "a-token"
    assert b'"provisionDeviceKey":"key"' in bridge.bodies()[0]
    bridge.stop()
