"""Firstlight's bridges on Debian's Mosquitto with the configuration in deploy/mosquitto, and devices that use it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from tests.support.databases import installation
from tests.support.mosquitto import PASSWORD, Mosquitto
from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    BareSocket,
    RecordingClient,
    connect_packet,
    connected,
    gone,
    publish_packet,
    subscribed,
)
from tests.support.processes import Server, wait_for
from tests.support.web import ROOT, create_profile, manage
from transports.mqtt.bridge.account import Account
from transports.mqtt.bridge.topics import Topics
from transports.mqtt.broker_address import BrokerAddress

DISCONNECT = b"\xe0\x00"
PROBE = b'{"firstlightProbe"'
TOPICS = Topics("/provision/request/{client_id}", "/provision/response/{client_id}")


class Site:
    """One installation with its broker, and the bridges that a test starts."""

    def __init__(self, folder: Path, broker: Mosquitto, **settings: str) -> None:
        self.folder, self.broker = folder, broker
        self.environment = installation(folder, **broker.settings | settings)
        self.profile = create_profile(self.environment, "sensors")
        self.bridges: list[Server] = []

    def start_bridge(self) -> Server:
        log = self.folder / f"bridge-{len(self.bridges)}.log"
        bridge = Server([sys.executable, "manage.py", "mqtt_bridge"], log, env=self.environment, cwd=ROOT)
        self.bridges.append(bridge)
        wait_for(lambda: "Connected to the broker" in bridge.output() or not bridge.alive, "the bridge")
        assert bridge.alive, bridge.output()
        return bridge

    def body(self, name: str, **fields: Any) -> bytes:
        secrets = {"provisionDeviceKey": self.profile["key"], "provisionDeviceSecret": self.profile["secret"]}
        return json.dumps({"deviceName": name, **secrets, **fields}).encode()

    def count(self, model: str, where: str = "") -> int:
        code = f"from django.apps import apps; print(apps.get_model('{model}').objects.filter({where}).count())"
        return int(manage(self.environment, "shell", "--verbosity", "0", "-c", code).split()[-1])

    def notes(self) -> str:
        code = "from operations.models import Heartbeat; print(*Heartbeat.objects.values_list('note', flat=True))"
        return manage(self.environment, "shell", "--verbosity", "0", "-c", code)

    def outputs(self) -> str:
        return "".join(bridge.output() for bridge in self.bridges)


class Reporter:
    """Replaces the heartbeat."""

    waiting = False

    ready = False

    def report(self, *, ready: bool, note: str = "") -> None:
        self.ready = self.ready or ready
        self.waiting = "this one waits" in note

    def has_twin(self, *, ready: bool) -> bool:
        return False

    def has_peers(self) -> bool:
        return False

    is_alone = True
    peers = 0

    def may_serve_alone(self) -> bool:
        return self.is_alone


def account(here: Site, client_id: str) -> tuple[Account, BrokerAddress]:
    """Return what a bridge within the test connects with, and the address that devices use."""
    devices = BrokerAddress("mqtt", "127.0.0.1", here.broker.device_port)
    address = replace(devices, port=here.broker.bridge_port, username="bridge", password=PASSWORD)
    return Account(address, client_id, "group", TOPICS.request_filters, 200, 600), devices


def ask(here: Site, client_id: str, body: bytes, version: str = "mqttv311") -> bytes:
    """Return the answer that a client gets on the topics of its own."""
    protocol = paho.MQTTv5 if version == "mqttv5" else paho.MQTTv311
    client = connected(here.broker.device_port, client_id=client_id, username="provision", protocol=protocol)
    subscribed(client, f"/provision/response/{client_id}", 1)
    client.publish(f"/provision/request/{client_id}", body)
    wait_for(lambda: client.got, "the answer")
    gone(client)
    ((topic, answer),) = client.got
    assert topic == f"/provision/response/{client_id}"
    return answer


def swarm(here: Site, count: int, *, named: bool = False) -> RecordingClient:
    """Have `count` devices ask, each from a connection of its own as the ACL wants it; return a client that hears all answers."""
    hears = connected(here.broker.bridge_port, client_id="collector", username="collector", password=PASSWORD)
    hears.on_message = lambda _client, _data, message: (
        # A bridge that starts probes the broker, and the answer to that comes here too.
        None if message.payload.startswith(PROBE) else hears.got.append((message.topic, bytes(message.payload)))
    )
    subscribed(hears, "/provision/response/+", 1)
    for number in range(count):
        name = f"s{number}"
        fields = {"idempotencyKey": f"idempotency-key-of-{name}"} if named else {}
        device = BareSocket(here.broker.device_port)
        device.send(connect_packet(client_id=name) + publish_packet(f"/provision/request/{name}", here.body(name, **fields)))
        assert device.receive(4) == CONNACK_ACCEPTED
        device.send(DISCONNECT)
        assert device.is_closed()
    return hears
