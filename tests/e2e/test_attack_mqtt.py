"""One client against the embedded broker, from an address of its own: devices, bridge and provisioning go on.

`make attack` runs the heavier forms, which are marked soak.
"""

import logging
import time

import pytest

from tests.support.attack import open_connections
from tests.support.mqtt import CONNACK_ACCEPTED, BareSocket, EchoBridge, EmbeddedBroker, connect_packet, publish_packet
from tests.support.processes import free_port

log = logging.getLogger(__name__)

ATTACKER = "127.0.0.66"
# A record of TLS that announces a ClientHello of 512 bytes, of which nothing comes.
HALF_A_HANDSHAKE = bytes.fromhex("1603010200010001fc0303")
# PUBLISH at QoS 0, and what the bridge of the tests makes of it.
ASK = publish_packet("/provision/request", b"served")
ANSWER = publish_packet("/provision/response", b"echo served")
SENT = {
    "nothing": b"",
    "half a CONNECT": connect_packet(username="provision")[:9],
    "provisioning": connect_packet(username="provision"),
    "wrong tokens": connect_packet(username="no-such-token"),
    "junk": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    settings = {"MQTT_MAX_CONNECTIONS": "10000", "MQTT_TLS_PORT": str(free_port())}
    running = EmbeddedBroker(tmp_path_factory.mktemp("broker"), **settings)
    yield running
    assert running.server.alive, running.server.output()
    assert running.stop() == 0
    # Junk and wrong tokens by the thousand are a few lines of the log.
    assert "Traceback" not in running.server.output()
    assert len(running.server.output()) < 100_000


def assert_served(broker, token):
    """A device with credentials is admitted, and one that provisions gets its reply."""
    began = time.monotonic()
    device = BareSocket(broker.port)
    device.send(connect_packet(username=token))
    assert device.receive(4) == CONNACK_ACCEPTED
    device.close()
    # Not a client of paho, which cannot have more than 1,024 files open.
    provisioning = BareSocket(broker.port)
    provisioning.send(connect_packet(username="provision") + ASK)
    assert provisioning.receive(4) == CONNACK_ACCEPTED
    assert provisioning.receive(len(ANSWER)) == ANSWER
    provisioning.close()
    log.info("Device and provisioning served in %.3f s", time.monotonic() - began)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", SENT)
def test_connections_of_one_address_keep_no_other_out(broker, kind, count):
    token, bridge = broker.add_device(f"{kind} {count}"), EchoBridge(broker.port)
    with open_connections(broker.port, count, SENT[kind], source=ATTACKER):
        assert_served(broker, token)
    bridge.stop()


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.soak)])
def test_unfinished_handshakes_of_one_address_keep_no_other_out(broker, count):
    token, bridge = broker.add_device(f"beside {count} handshakes"), EchoBridge(broker.port)
    with open_connections(int(broker.environment["MQTT_TLS_PORT"]), count, HALF_A_HANDSHAKE, source=ATTACKER):
        assert_served(broker, token)
    bridge.stop()
