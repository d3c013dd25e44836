"""Devices on the operator's Mosquitto: the plugin, the bridge and the web process together (docs/brokers/mosquitto.md)."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import mosquitto_plugin
from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    CONNACK_NOT_AUTHORIZED,
    BareSocket,
    connect_packet,
    connected,
    gone,
    packet,
    publish_packet,
    subscribed,
    text,
)
from tests.support.processes import Server, program, wait_for
from tests.support.web import ROOT, Web, create_profile, manage

REQUEST, RESPONSE = "/provision/request", "/provision/response"
TELEMETRY = "v1/devices/me/telemetry"


class Site:
    """An installation, its bridge, and a Mosquitto that was configured with what create_broker prints."""

    def __init__(self, folder: Path, built: Path) -> None:
        self.folder = folder
        self.web = Web(folder)
        self.environment = self.web.environment
        made = manage(self.environment, "create_broker", "plant", "--kind", "mosquitto", "--json").splitlines()[-1]
        self.config = json.loads(made)
        self.broker = PluginMosquitto(folder / "broker", built, self.web.url, printed=self.config["config"]).start()
        self.profile = create_profile(self.environment, "sensors")
        self.bridge = self._start_bridge()
        self.broker.wait_for_log("a new list of")

    def _start_bridge(self) -> Server:
        environment = self.environment | {
            "MQTT_BROKER_URL": f"mqtt://bridge@127.0.0.1:{self.broker.port}",
            "MQTT_BROKER_PASSWORD": self.config["secret"],
            "MQTT_DEVICE_URL": f"mqtt://127.0.0.1:{self.broker.port}",
        }
        bridge = Server([sys.executable, "manage.py", "mqtt_bridge"], self.folder / "bridge.log", env=environment, cwd=ROOT)
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
        return answer["credentialsValue"]

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
            return count

    def stop(self) -> None:
        self.bridge.kill()
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


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(tmp_path, mosquitto_plugin.build_once(tmp_path_factory))
    yield one
    one.stop()


def mosquitto_pub(site: Site, token: str) -> int:
    options = ["-p", str(site.broker.port), "-u", token, "-t", TELEMETRY, "-q", "1", "-m", '{"temperature": 21.5}']
    command = [program("mosquitto_pub", "mosquitto-clients"), *options]
    return subprocess.run(command, check=False, timeout=60, capture_output=True).returncode


def test_from_the_first_day_to_the_blocked_device(site: Site):
    eve = connected(site.broker.port, client_id="eve", username="provision")
    for topic in ("#", f"{RESPONSE}/+", f"$share/all/{RESPONSE}", f"{REQUEST}/#"):
        assert subscribed(eve, topic) == 0x80
    subscribed(eve, RESPONSE)

    with ThreadPoolExecutor(10) as pool:
        tokens = list(pool.map(lambda n: site.provision(f"d{n}", "" if n % 2 else f"own-{n}"), range(10)))

    assert len(set(tokens)) == 10
    assert eve.got == []
    wait_for(lambda: all(map(site.admits, tokens)), "the devices' admission")
    assert not site.admits("wrong-token-0001")
    assert mosquitto_pub(site, tokens[0]) == 0
    assert mosquitto_pub(site, "wrong-token-0001") != 0
    wait_for(lambda: site.unused() == 0, "the notes of first use")

    session, other = BareSocket(site.broker.port), BareSocket(site.broker.port)
    for bare, token in ((session, tokens[0]), (other, tokens[1])):
        bare.send(connect_packet(username=token))
        assert bare.receive(4) == CONNACK_ACCEPTED
    manage(site.environment, "block_device", "d0")
    assert session.is_closed()
    assert not site.admits(tokens[0])
    other.send(publish_packet(TELEMETRY, b"{}", packet_id=1))
    assert other.receive(4) == b"\x40\x02\x00\x01"
    manage(site.environment, "unblock_device", "d0")
    wait_for(lambda: site.admits(tokens[0]), "the unblocked device")

    # Firstlight is unavailable: known devices go on, others have to wait.
    site.web.server.kill()
    site.broker.wait_for_log("The broker goes on with 10 devices")
    manage(site.environment, "block_device", "d2")
    late = site.provision("late", "late")
    other.send(publish_packet(TELEMETRY, b"{}", packet_id=2))
    assert other.receive(4) == b"\x40\x02\x00\x02"
    assert site.admits(tokens[2])
    assert not site.admits(late)
    site.web.start()
    wait_for(lambda: site.admits(late) and not site.admits(tokens[2]), "what happened meanwhile")
    gone(eve)
    other.close()
    logs = site.broker.log + site.bridge.output() + site.web.server.output()
    assert not any(secret in logs for secret in (*tokens, site.config["secret"], site.profile["secret"]))
