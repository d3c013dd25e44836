"""Many clients that no one here wrote, at once on a Mosquitto with the plugin."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import mosquitto_plugin
from tests.support.mqtt import connected, gone, subscribed
from tests.support.plugin_site import REQUEST, RESPONSE, Site
from tests.support.processes import wait_for
from tests.support.tb_client import LIVES

FIRMWARE = 200
TB_CLIENTS = 12
WAIT_S = 120.0
EVERYTHING = ("#", f"{RESPONSE}/+", f"$share/all/{RESPONSE}", f"{REQUEST}/#", "devices/#", "v1/#")


@pytest.fixture
def make_site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**settings: str) -> Site:
        made.append(Site(tmp_path, mosquitto_plugin.build_once(tmp_path_factory), **settings))
        return made[-1]

    yield make
    for site in made:
        site.stop()


def test_two_hundred_firmware_clients_each_get_their_own_reply_and_connect_with_it(make_site):
    site = make_site()
    eve = connected(site.broker.port, client_id="eve", username="provision")
    assert {subscribed(eve, topic) for topic in EVERYTHING} == {0x80}
    subscribed(eve, RESPONSE)

    with ThreadPoolExecutor(FIRMWARE) as pool:
        tokens = list(pool.map(lambda n: site.provision(f"d{n}", "" if n % 2 else f"own-{n}"), range(FIRMWARE)))

    assert len(set(tokens)) == FIRMWARE
    wait_for(lambda: all(map(site.admits, tokens)), "the admission of all", WAIT_S)
    assert eve.got == []
    gone(eve)


def test_tb_mqtt_clients_provision_connect_and_report(make_site, tb_client):
    site = make_site(MQTT_DEVICE_DATA="on")

    lived = tb_client.run(LIVES, site.broker.port, site.profile["key"], site.profile["secret"], TB_CLIENTS, timeout_s=200)

    assert [(name, code) for name, _, code in lived] == [(f"tb-{number}", 0) for number in range(TB_CLIENTS)]
    assert len({token for _, token, _ in lived}) == TB_CLIENTS
    expected = {(name, "name", name) for name, _, _ in lived}
    wait_for(lambda: _telemetry(site) == expected, "what they reported", WAIT_S)


def _telemetry(site: Site) -> set[tuple[str, str, str]]:
    """Return device, key and value of what is stored."""
    with sqlite3.connect(site.folder / "web.sqlite3") as database:
        rows = database.execute(
            "SELECT d.name, t.key, t.value FROM devices_latesttelemetry t JOIN devices_device d ON d.id = t.device_id"
        )
        return {(name, key, value.strip('"')) for name, key, value in rows}
