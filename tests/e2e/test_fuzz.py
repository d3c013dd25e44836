"""Any bytes over MQTT and CoAP lead to a well-formed reply, no crash and no leak. For HTTP see transports/http/test_views.py."""

import asyncio
import json
import queue

import paho.mqtt.client as paho
import pytest
from aiocoap import POST, Context, Message
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.stack import Stack
from tests.support.strategies import documents, messages
from transports.codecs import provision_pb2 as wire

WAIT_S = 20
bodies = (
    st.binary(max_size=300)
    | documents.map(json.dumps).map(str.encode)
    | messages.map(lambda message: message.SerializeToString())
)
examples = settings(max_examples=80, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    # Guesses are what a fuzz is made of; limiting them is tested elsewhere.
    with Stack(tmp_path_factory.mktemp("fuzz"), GUESSES_PER_SOURCE="100000", GUESSES_PER_KEY="100000") as started:
        yield started


@pytest.fixture(scope="module")
def profile(stack):
    return stack.create_profile("fuzzed")


@pytest.fixture(scope="module")
def ask_mqtt(stack):
    """Return a function that sends bytes as a device does and returns the answer."""
    answers: queue.Queue[bytes] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.username_pw_set("provision")
    client.on_message = lambda _client, _data, message: answers.put(message.payload)
    client.connect("127.0.0.1", stack.mqtt_port)
    client.loop_start()
    client.subscribe("/provision/response")

    def ask(body: bytes) -> bytes:
        client.publish("/provision/request", body, qos=1)
        return answers.get(timeout=WAIT_S)

    yield ask
    client.disconnect()
    client.loop_stop()


@pytest.fixture(scope="module")
def ask_coap(stack):
    """Return a function that sends bytes as a device does and returns the answer."""
    loop = asyncio.new_event_loop()
    context = loop.run_until_complete(Context.create_client_context())
    uri = f"coap://127.0.0.1:{stack.coap_port}/api/v1/provision"

    def ask(body: bytes) -> bytes:
        request = context.request(Message(code=POST, uri=uri, payload=body)).response
        answer = loop.run_until_complete(asyncio.wait_for(request, WAIT_S))
        assert int(answer.code) < 0xA0, "5.xx"
        return answer.payload

    yield ask
    loop.run_until_complete(context.shutdown())
    loop.close()


def assert_in_form(answer: bytes) -> None:
    """A JSON object or a ProvisionDeviceResponseMsg that reveals nothing."""
    try:
        document = json.loads(answer)
    except ValueError:
        message = wire.ProvisionDeviceResponseMsg.FromString(answer)
        assert message.status in (wire.FAILURE, wire.NOT_FOUND)
        assert not message.credentialsValue
    else:
        assert set(document) == {"status", "provisionDeviceStatus", "errorMsg"}
        assert document["status"] in ("FAILURE", "NOT_FOUND")


@examples
@given(body=bodies)
def test_whatever_comes_over_mqtt_is_answered_in_form(ask_mqtt, body):
    assert_in_form(ask_mqtt(body))


@examples
@given(body=bodies)
def test_whatever_comes_over_coap_is_answered_in_form(ask_coap, body):
    assert_in_form(ask_coap(body))


@settings(examples, max_examples=60)
@given(
    fields=st.dictionaries(st.sampled_from(["deviceName", "credentialsType", "token", "clientId", "username", "hash"]), st.text())
)
def test_known_key_with_any_text_is_answered_the_same_way_over_both(profile, ask_mqtt, ask_coap, fields):
    body = json.dumps({"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]} | fields).encode()
    for ask in (ask_mqtt, ask_coap):
        document = json.loads(ask(body))
        assert document["status"] in ("SUCCESS", "FAILURE")


def test_nothing_was_logged_that_should_not_be(stack, profile, ask_mqtt, ask_coap):
    """Runs last: what the tests above sent has made no process stumble, and the secret is in no line."""
    assert set(stack.readyz().values()) == {"ready"}
    output = stack.server.output()
    assert "Traceback" not in output
    assert profile["secret"] not in output
    assert "INTERNAL_ERROR" not in output
