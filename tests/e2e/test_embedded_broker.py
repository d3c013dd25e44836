"""Unmodified tb-mqtt-clients through the embedded broker, the bridge and the database, all at once."""

import json
import struct
import sys

import pytest

from tests.support.mqtt import BareSocket, EmbeddedBroker, connect_packet, connected, gone, packet, text
from tests.support.processes import Server, wait_for
from tests.support.tb_client import LIVES
from tests.support.web import ROOT, create_profile

DEVICES = 60


@pytest.fixture
def broker(tmp_path):
    running = EmbeddedBroker(tmp_path)
    bridge = Server([sys.executable, "manage.py", "mqtt_bridge"], tmp_path / "bridge.log", env=running.environment, cwd=ROOT)
    wait_for(lambda: "A bridge has connected" in running.server.output() or not bridge.alive, "the bridge")
    assert bridge.alive, bridge.output()
    yield running
    bridge.stop()
    assert running.stop() == 0
    assert "Traceback" not in running.server.output()


def test_sixty_tb_mqtt_clients_at_once_each_get_their_own_and_use_it(broker, tb_client):
    profile = create_profile(broker.environment, "tb devices")
    spies = [connected(broker.port, username="provision"), connected(broker.port, username=broker.add_device("spy"))]
    for spy in spies:
        spy.subscribe(
            [(topic, 0) for topic in ("#", "+/+/+", "+/+/+/+", "/provision/#", "/provision/response", "v1/devices/me/#")]
        )

    lived = tb_client.run(LIVES, broker.port, profile["key"], profile["secret"], DEVICES, timeout_s=200)

    assert [(name, code) for name, _, code in lived] == [(f"tb-{number}", 0) for number in range(DEVICES)]
    assert len({token for _, token, _ in lived}) == DEVICES
    assert broker.telemetry() == {name: {"name": name} for name, _, _ in lived}
    for spy in spies:
        assert spy.got == []
        gone(spy)


def reply_packet(broker, profile, *, client_id, level, topic="/provision/request", properties=b""):
    """Return size and document of the PUBLISH that answers a client with a response topic of its own."""
    none = b"\0" if level == 5 else b""
    body = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}
    own = text(f"/provision/response/{client_id}") + b"\0"
    one = BareSocket(broker.port)
    one.send(connect_packet(client_id=client_id, username="provision", level=level))
    one.send(packet(0x82, b"\0\1" + none + own))
    one.send(packet(0x30, text(topic) + (bytes((len(properties),)) if none else b"") + properties + json.dumps(body).encode()))
    while (head := one.receive(1)[0]) >> 4 != 3:
        one.receive(one.receive(1)[0])
    low, high = one.receive(2)
    size = (low & 127) + 128 * high
    document = json.loads(b"{" + one.receive(size).partition(b"{")[2])
    one.close()
    assert (head, low & 128) == (0x30, 128)
    return 3 + size, document


def test_reply_on_a_topic_of_the_devices_own_fits_a_small_buffer_too(broker):
    profile = create_profile(broker.environment, "small buffers")
    long_id = "sensor-" + "x" * 50
    wishes = b"\x08" + text("/provision/response/" + "y" * 40) + b"\x09" + struct.pack("!H", 30) + b"c" * 30

    replies = [
        reply_packet(broker, profile, client_id="s", level=4),
        reply_packet(broker, profile, client_id=long_id, level=4),
        reply_packet(broker, profile, client_id=long_id, level=4, topic=f"/provision/request/{long_id}"),
        reply_packet(broker, profile, client_id="s", level=5, properties=wishes),
    ]

    assert all(size <= 256 for size, _ in replies), [size for size, _ in replies]
    assert all(reply["status"] == "SUCCESS" and len(reply["credentialsValue"]) == 20 for _, reply in replies)
