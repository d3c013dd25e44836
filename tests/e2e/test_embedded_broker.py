"""Unmodified tb-mqtt-clients through the embedded broker, the bridge and the database, all at once."""

import sys

import pytest

from tests.support.mqtt import EmbeddedBroker, connected, gone
from tests.support.processes import Server, wait_for
from tests.support.web import ROOT, create_profile

DEVICES = 60
# Each in a thread of its own: provisions, connects with what it was given, sends telemetry.
SCRIPT = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from tb_device_mqtt import TBDeviceMqttClient
port, key, secret, devices = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
def live(number):
    name = f"tb-{number}"
    reply = TBDeviceMqttClient.provision("127.0.0.1", key, secret, port=port, device_name=name)
    client = TBDeviceMqttClient("127.0.0.1", port, reply["credentialsValue"])
    client.connect()
    give_up = time.monotonic() + 60
    while not client.is_connected() and time.monotonic() < give_up:
        time.sleep(0.01)  # the client drops what it sends before its CONNACK
    code = client.send_telemetry({"name": name}).get()
    client.disconnect()
    client.stop()
    return [name, reply["credentialsValue"], code]
with ThreadPoolExecutor(devices) as threads:
    print(json.dumps(list(threads.map(live, range(devices)))))
"""


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

    lived = tb_client.run(SCRIPT, broker.port, profile["key"], profile["secret"], DEVICES, timeout_s=200)

    assert [(name, code) for name, _, code in lived] == [(f"tb-{number}", 0) for number in range(DEVICES)]
    assert len({token for _, token, _ in lived}) == DEVICES
    assert broker.telemetry() == {name: {"name": name} for name, _, _ in lived}
    for spy in spies:
        assert spy.got == []
        gone(spy)
