"""What snippets hold, and what no value can break out of."""

import ast
import json
import shlex

import pytest

from console.addresses import Addresses
from console.profiles.snippets import Pair, snippets

NASTY = 'it\'s "quoted" $(reboot) `id` \\ end'


def addresses(**changes):
    values = {
        "http_url": "https://iot.example",
        "mqtt_host": "iot.example",
        "mqtt_port": 1883,
        "mqtt_tls": False,
        "request_topic": "/provision/request",
        "response_topic": "/provision/response",
        "coap_host": "iot.example",
        "coap_port": 5683,
    }
    return Addresses(**(values | changes))


def by_name(pair, **changes):
    return {snippet.name: snippet.text for snippet in snippets(pair, addresses(**changes), device_name="my-device")}


@pytest.mark.parametrize("name", ["curl", "mosquitto", "coap-client"])
def test_shell_gets_every_value_as_one_word(name):
    words = shlex.split(by_name(Pair(NASTY, lambda _: NASTY))[name].replace("\\\n", " "), comments=True)

    bodies = [json.loads(word) for word in words if word.startswith("{")]
    assert bodies
    assert all(body["provisionDeviceKey"] == body["provisionDeviceSecret"] == NASTY for body in bodies)


@pytest.mark.parametrize("name", ["paho", "aiocoap"])
def test_python_gets_every_value_as_a_literal(name):
    tree = ast.parse(by_name(Pair(NASTY, lambda _: NASTY))[name])

    request = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "REQUEST")
    assert ast.literal_eval(request)["provisionDeviceSecret"] == NASTY


def test_arduino_gets_every_value_as_a_literal():
    assert f'request["provisionDeviceSecret"] = {json.dumps(NASTY)};' in by_name(Pair(NASTY, lambda _: NASTY))["arduino"]


def test_broker_without_shared_replies_gets_the_topics_of_the_client():
    text = by_name(Pair(), request_topic="/provision/request/{client_id}", response_topic="/r/{client_id}", mqtt_tls=True)

    assert "-t /provision/request/my-device -e /r/my-device" in text["mosquitto"]
    assert "client.tls_set()" in text["paho"]
    assert "WiFiClientSecure network" in text["arduino"]


def test_ipv6_host_is_in_brackets():
    assert "coap://[::1]:5683/" in by_name(Pair(), coap_host="::1")["coap-client"]


def test_repr_shows_no_secret():
    made = snippets(Pair("the-key", lambda _: "the-secret"), addresses(), device_name="a")
    assert "the-secret" not in repr(made) + repr(Pair("the-key", lambda _: "the-secret"))
