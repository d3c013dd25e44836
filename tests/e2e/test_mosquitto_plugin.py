"""Devices on the operator's Mosquitto: the plugin, the bridge and the web process together (docs/brokers/mosquitto.md)."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import mosquitto_plugin
from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    BareSocket,
    connect_packet,
    connected,
    gone,
    publish_packet,
    subscribed,
)
from tests.support.plugin_site import REQUEST, RESPONSE, Site
from tests.support.processes import program, wait_for
from tests.support.web import manage

TELEMETRY = "v1/devices/me/telemetry"


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
