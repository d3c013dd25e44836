"""How long the MQTT session of a device lasts after it lost its access in another process: 2 s at most."""

import random
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles

import pytest

from tests.support.mqtt import CONNACK_ACCEPTED, EmbeddedBroker, connect_packet

DEVICES = 400
BYSTANDERS = 400
LIMIT_S = 2.0
SERVICES = ["devices_block", "devices_reset_provisioning", "devices_reissue_credentials", "devices_delete"]
REVOKE = """
import time
from devices import bulk_services
from devices.models import Device
assert getattr(bulk_services, given["service"])(devices=Device.objects.filter(name=given["name"])) == 1
result = time.time()
"""
pytestmark = [pytest.mark.soak]


@pytest.fixture
def broker(tmp_path):
    running = EmbeddedBroker(tmp_path, MQTT_MAX_CONNECTIONS_PER_ADDRESS="2000")
    yield running
    assert running.stop() == 0


def session(broker, name):
    # Flags and keep-alive, without one: nothing else may end a session.
    connect = connect_packet(username=broker.add_device(name)).replace(b"\x82\x00\x3c", b"\x82\x00\x00")
    one = socket.create_connection(("127.0.0.1", broker.port), timeout=30)
    one.sendall(connect)
    assert one.recv(4) == CONNACK_ACCEPTED
    return one


def revoked_at(broker, names):
    """Take the access of each of `names` away, at random moments; return when that was committed."""
    committed = {}
    for number, name in enumerate(names):
        # Else all would fall on the same moment of the interval in which the broker reads events.
        time.sleep(random.uniform(0, 0.2))
        committed[name] = broker.shell(REVOKE, service=SERVICES[number % len(SERVICES)], name=name)
    return committed


def test_session_ends_within_two_seconds(broker):
    sessions = {session(broker, f"device {number}"): f"device {number}" for number in range(DEVICES)}
    bystanders = [session(broker, f"bystander {number}") for number in range(BYSTANDERS)]
    ended = {}

    with ThreadPoolExecutor(1) as threads:
        committed = threads.submit(revoked_at, broker, list(sessions.values()))
        while len(ended) < DEVICES:
            readable, _, _ = select.select(sessions.keys() - ended.keys(), [], [], 30)
            assert readable, "a session did not end"
            ended |= {one: time.time() for one in readable}

    lasted = sorted(ended[one] - committed.result()[name] for one, name in sessions.items())
    median, p99 = lasted[DEVICES // 2], quantiles(lasted, n=100)[98]
    print(f"{DEVICES} sessions ended: median {median:.2f} s, p99 {p99:.2f} s, most {lasted[-1]:.2f} s")
    assert lasted[-1] < LIMIT_S
    assert select.select(bystanders, [], [], 0)[0] == []
    for one in [*sessions, *bystanders]:
        one.close()
