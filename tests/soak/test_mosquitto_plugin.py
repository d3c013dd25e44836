"""The Mosquitto plugin under Valgrind, and through an outage of five minutes."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.mosquitto_plugin.test_admission import admitted, refused
from tests.support import mosquitto_plugin
from tests.support.broker_feed import FeedDevice, FeedServer
from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import CONNACK_ACCEPTED, BareSocket, connect_packet, publish_packet
from tests.support.processes import program, wait_for

pytestmark = pytest.mark.soak
OUTAGE_S = 300
DEVICES = [FeedDevice(f"device {n}", token=f"token-{n}") for n in range(100)]


@pytest.fixture
def feed() -> Iterator[FeedServer]:
    server = FeedServer()
    server.start()
    server.put(*DEVICES[:-1])
    yield server
    server.stop()


def test_an_outage_of_minutes_under_valgrind(feed: FeedServer, tmp_path: Path):
    built = mosquitto_plugin.build(tmp_path / "build", sanitize=False)
    valgrind = [program("valgrind", "valgrind"), "--error-exitcode=98", "--quiet", "--leak-check=no"]
    broker = PluginMosquitto(tmp_path / "broker", built, feed.url, sanitized=False, prefix=valgrind).start()
    broker.wait_for_log("a new list of 99 devices")
    one = BareSocket(broker.port)
    one.send(connect_packet(username="token-0"))
    assert one.receive(4) == CONNACK_ACCEPTED
    feed.stop()

    deadline = time.monotonic() + OUTAGE_S
    rounds = 0
    while time.monotonic() < deadline:
        device = DEVICES[rounds % 99]
        assert admitted(broker, username=device.token)
        assert refused(broker, username=DEVICES[-1].token)
        one.send(publish_packet("v1/devices/me/telemetry", b"{}", packet_id=1))
        assert one.receive(4) == b"\x40\x02\x00\x01"
        rounds += 1
    print(f"{rounds} rounds during the outage")

    feed.put(DEVICES[-1])
    feed.remove(DEVICES[0])
    feed.start()
    wait_for(lambda: admitted(broker, username=DEVICES[-1].token), "the change of the outage")
    assert one.is_closed()
    assert refused(broker, username="token-0")
    broker.stop()
