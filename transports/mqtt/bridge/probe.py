"""Finds out whether the broker keeps replies apart, by asking as a device would and listening as an eavesdropper would."""

import enum
import logging
import secrets
import threading
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from transports.mqtt.bridge import probe_messages
from transports.mqtt.bridge.topics import Topics
from transports.mqtt.broker_address import BrokerAddress
from transports.mqtt.topics import REQUEST, RESPONSE

log = logging.getLogger(__name__)

USERNAME = "provision"
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 2.0
FENCE_TIMEOUT_S = 2.0


class Verdict(enum.Enum):
    """What a probe found. The label is for the dashboard."""

    ISOLATED = "the broker keeps replies apart"
    OWN_TOPICS = "replies are kept apart only for firmware that uses topics of its own"
    LEAKING = "the broker does not keep replies apart: any client can read them"
    REFUSED = "not known whether the broker keeps replies apart: it does not let a device connect as 'provision'"
    UNANSWERED = "not known whether the broker keeps replies apart: no probe was answered"

    @property
    def label(self) -> str:
        return self.value

    def explanation(self, *, shared: bool, topics: Topics) -> str:
        """Return what the log says, with what it means for unmodified firmware."""
        found = f"{self.label[0].upper()}{self.label[1:]}."
        if self is Verdict.ISOLATED:
            return found
        if shared:
            return (
                f"{found} MQTT_ALLOW_SHARED_RESPONSES is on: unmodified firmware is answered on {topics.shared_response}, "
                "and every client subscribed there sees the credentials of the others. See docs/mqtt.md."
            )
        return (
            f"{found} Unmodified firmware, which asks on {REQUEST}, is not answered on a topic that all devices "
            "share. See docs/mqtt.md for how to change that, and what it risks."
        )


def probe(broker: BrokerAddress, topics: Topics) -> Verdict:
    """Return what can be found out about `broker`. It takes some seconds, and leaves nothing behind."""
    try:
        with _Device(broker) as bystander:
            if not bystander.connected.wait(CONNECT_TIMEOUT_S):
                return Verdict.REFUSED
            for name in (RESPONSE, f"{RESPONSE}/#", topics.response.replace("{client_id}", "+"), "#"):
                bystander.subscribe(name)
            answered = _ask(broker, bystander, REQUEST, RESPONSE)
            found = Verdict.ISOLATED
            if not answered and topics.shared_request:
                found = Verdict.OWN_TOPICS
                answered = _ask(broker, bystander, topics.request, topics.response)
            if bystander.heard_of_a_probe():
                return Verdict.LEAKING
            return found if answered else Verdict.UNANSWERED
    except OSError as err:
        log.debug("A probe could not connect: %s", err)
        return Verdict.REFUSED


def _ask(broker: BrokerAddress, bystander: "_Device", request: str, response: str) -> bool:
    """Return whether a device that asks on `request` is answered on `response`, with the bystander's ears open until then."""
    with _Device(broker) as device:
        if not device.connected.wait(CONNECT_TIMEOUT_S):
            return False
        bystander.listen_for(device)
        device.subscribe(response.replace("{client_id}", device.client_id))
        device.publish(request.replace("{client_id}", device.client_id), device.question)
        answered = device.answered.wait(ANSWER_TIMEOUT_S)
    # What the bystander was sent before this subscription was granted has arrived when it is.
    bystander.subscribe(RESPONSE)
    return answered


class _Device:
    """A client that connects as unmodified firmware does."""

    def __init__(self, broker: BrokerAddress) -> None:
        self.client_id = f"probe-{secrets.token_hex(8)}"
        self.question = probe_messages.question(self.client_id)
        self.connected = threading.Event()
        self.answered = threading.Event()
        self._granted = threading.Event()
        self._listening_for: set[bytes] = set()
        self._heard: set[bytes] = set()
        self.answer = probe_messages.answer(self.client_id)
        self._client = Client(CallbackAPIVersion.VERSION2, self.client_id, reconnect_on_failure=False)
        self._client.username_pw_set(USERNAME)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        if broker.tls:
            self._client.tls_set_context(broker.tls)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._granted.set()
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, name: str) -> None:
        """Return once the broker has answered, granted or not. One that hangs up lets us hear nothing, which is as good."""
        self._granted.clear()
        self._client.subscribe(name)
        if self._client.is_connected():
            self._granted.wait(FENCE_TIMEOUT_S)

    def publish(self, topic: str, body: bytes) -> None:
        self._client.publish(topic, body, qos=1)

    def listen_for(self, other: "_Device") -> None:
        self._listening_for |= {other.question, other.answer}

    def heard_of_a_probe(self) -> bool:
        return bool(self._heard)

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _props: Properties | None
    ) -> None:
        if not reason.is_failure:
            self.connected.set()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.payload == self.answer:
            self.answered.set()
        if message.payload in self._listening_for:
            self._heard.add(bytes(message.payload))
