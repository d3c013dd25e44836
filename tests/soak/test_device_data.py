"""Data of devices on the operator's Mosquitto, through five minutes without Firstlight."""

import json
import sqlite3
import time
from pathlib import Path

import pytest

from tests.support import mosquitto_plugin
from tests.support.mqtt import connected, gone
from tests.support.plugin_site import Site
from tests.support.processes import wait_for

pytestmark = pytest.mark.soak
OUTAGE_S = 300
DEVICES = 20


def test_nothing_that_the_broker_acknowledged_is_lost_in_an_outage_of_five_minutes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    """With the default settings: web server and bridge are killed, devices go on, and one that is unknown stays out."""
    site = Site(tmp_path, mosquitto_plugin.build_once(tmp_path_factory), MQTT_DEVICE_DATA="on")
    tokens = [site.provision(f"d{number}", f"client-{number}") for number in range(DEVICES)]
    wait_for(lambda: all(map(site.admits, tokens)), "the devices' admission")
    site.bridge.kill()
    site.web.server.kill()

    acknowledged = set()
    deadline = time.monotonic() + OUTAGE_S
    rounds = 0
    while time.monotonic() < deadline:
        number = rounds % DEVICES
        device = connected(site.broker.port, client_id=f"c{number}", username=tokens[number])
        info = device.publish("v1/devices/me/telemetry", json.dumps({f"k{rounds}": rounds}), qos=1)
        wait_for(info.is_published, "PUBACK")
        acknowledged.add((f"d{number}", f"k{rounds}"))
        gone(device)
        assert not site.admits("a token that nobody has")
        rounds += 1
    print(f"{rounds} messages during the outage")

    site.web.start()
    site.start_bridge()
    wait_for(lambda: _stored(site) == acknowledged, "what was published in the outage", 120.0)
    token = site.provision("new", "client-new")
    wait_for(lambda: site.admits(token), "the admission of a new device")
    site.stop()


def _stored(site: Site) -> set[tuple[str, str]]:
    with sqlite3.connect(site.folder / "web.sqlite3") as database:
        return set(
            database.execute("SELECT d.name, t.key FROM devices_latesttelemetry t JOIN devices_device d ON d.id = t.device_id")
        )
