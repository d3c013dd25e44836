"""An installation with a Mosquitto that has the plugin, and its bridge."""

import json
import sqlite3
import sys
from pathlib import Path

from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    CONNACK_NOT_AUTHORIZED,
    BareSocket,
    connect_packet,
    packet,
    publish_packet,
    text,
)
from tests.support.processes import Server, wait_for
from tests.support.web import ROOT, Web, create_profile, manage

REQUEST, RESPONSE = "/provision/request", "/provision/response"


class Site:
    """An installation, its bridge, and a Mosquitto that was configured with what create_broker prints."""

    def __init__(self, folder: Path, built: Path, **settings: str) -> None:
        self.folder = folder
        self.web = Web(folder)
        self.environment = self.web.environment | settings
        made = manage(self.environment, "create_broker", "plant", "--kind", "mosquitto", "--json").splitlines()[-1]
        self.config = json.loads(made)
        self.broker = PluginMosquitto(folder / "broker", built, self.web.url, printed=self.config["config"]).start()
        self.profile = create_profile(self.environment, "sensors")
        self.bridges: list[Server] = []
        self.bridge = self.start_bridge()
        self.broker.wait_for_log("a new list of")

    def start_bridge(self) -> Server:
        environment = self.environment | {
            "MQTT_BROKER_URL": f"mqtt://bridge@127.0.0.1:{self.broker.port}",
            "MQTT_BROKER_PASSWORD": self.config["secret"],
            "MQTT_DEVICE_URL": f"mqtt://127.0.0.1:{self.broker.port}",
        }
        log = self.folder / f"bridge-{len(self.bridges)}.log"
        bridge = Server([sys.executable, "manage.py", "mqtt_bridge"], log, env=environment, cwd=ROOT)
        self.bridges.append(bridge)
        wait_for(lambda: "keeps replies apart" in bridge.output() or not bridge.alive, "the bridge")
        assert bridge.alive, bridge.output()
        return bridge

    def provision(self, name: str, client_id: str) -> str:
        """Ask as unmodified firmware does; return the token of the answer."""
        bare = BareSocket(self.broker.port)
        bare.send(connect_packet(client_id=client_id, username="provision"))
        assert bare.receive(4) == CONNACK_ACCEPTED
        bare.send(packet(0x82, b"\x00\x01" + text(RESPONSE) + b"\x00"))
        body = {"deviceName": name, "provisionDeviceKey": self.profile["key"], "provisionDeviceSecret": self.profile["secret"]}
        bare.send(publish_packet(REQUEST, json.dumps(body).encode()))
        assert bare.receive(5) == b"\x90\x03\x00\x01\x00"
        answer = json.loads(_published(bare))
        bare.close()
        assert answer["status"] == "SUCCESS", answer
        return str(answer["credentialsValue"])

    def admits(self, token: str) -> bool:
        bare = BareSocket(self.broker.port)
        bare.send(connect_packet(username=token))
        answer = bare.receive(4)
        bare.close()
        assert answer in (CONNACK_ACCEPTED, CONNACK_NOT_AUTHORIZED)
        return answer == CONNACK_ACCEPTED

    def unused(self) -> int:
        """Return how many devices have not used their credentials yet."""
        with sqlite3.connect(self.folder / "web.sqlite3") as database:
            (count,) = database.execute("SELECT count(*) FROM devices_device WHERE first_used_at IS NULL").fetchone()
            return int(count)

    def stop(self) -> None:
        for bridge in self.bridges:
            bridge.kill()
        self.web.server.kill()
        self.broker.stop()


def _published(bare: BareSocket) -> bytes:
    """Return the payload of the PUBLISH that comes next, on the response topic."""
    size, shift = 0, 0
    assert bare.receive(1)[0] & 0xF0 == 0x30
    while True:
        (byte,) = bare.receive(1)
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    topic = text(RESPONSE)
    got = bare.receive(size)
    assert got.startswith(topic)
    return got.removeprefix(topic)
