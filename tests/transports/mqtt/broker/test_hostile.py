"""What no client library sends: a client that does it loses its own connection, and no other is affected."""

import random
import struct

import pytest

from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    CONNACK_BAD_VERSION,
    PINGREQ,
    PINGRESP,
    BareSocket,
    connect_packet,
    connected,
    gone,
    packet,
    publish_packet,
    text,
)
from tests.support.processes import wait_for

CONNECT = connect_packet(username="provision")
SUBSCRIBE_TO_NOTHING = packet(0x82, b"\0\1")
LIES = {
    "a request without CONNECT": publish_packet("/provision/request", b"x"),
    "ping without CONNECT": PINGREQ,
    "half a CONNECT, then another": CONNECT[:-3] + CONNECT,
    "CONNECT twice": CONNECT + CONNECT,
    "CONNECT longer than its fields": packet(0x10, CONNECT[2:] + b"more"),
    "CONNECT shorter than its fields": packet(0x10, CONNECT[2:-4]),
    "reserved packet type 0": CONNECT + b"\x00\x00",
    "reserved packet type 15": CONNECT + b"\xf0\x00",
    "packet of a server": CONNECT + CONNACK_ACCEPTED,
    "remaining length of five bytes": CONNECT + b"\x30\xff\xff\xff\xff\x01",
    "topic longer than its packet": CONNECT + packet(0x30, struct.pack("!H", 500) + b"x"),
    "topic that is not UTF-8": CONNECT + packet(0x30, b"\0\2\xff\xfex"),
    "topic with a wildcard": CONNECT + publish_packet("/provision/+", b"x"),
    "QoS 3": CONNECT + packet(0x36, text("/provision/request") + b"\0\1x"),
    "packet id 0": CONNECT + packet(0x32, text("/provision/request") + b"\0\0x"),
    "SUBSCRIBE to nothing": CONNECT + SUBSCRIBE_TO_NOTHING,
    "SUBSCRIBE at QoS 3": CONNECT + packet(0x82, b"\0\1" + text("/provision/response") + b"\3"),
    "PUBACK without id": CONNECT + packet(0x40, b""),
    "a large packet": CONNECT + b"\x30" + b"\xff\xff\xff\x7f",
    "MQTT 5 with cut properties": packet(0x10, b"\0\4MQTT\5\x82\0\x3c\x05\x11"),
    "MQTT 5 with an unknown property": packet(0x10, b"\0\4MQTT\5\x82\0\x3c\x02\x7f\x01\0\0" + text("provision")),
}


@pytest.fixture
def bystander(broker, bridge):
    """A client that must be served to the end."""
    lost = []
    one = connected(broker.port, username="provision", client_id="bystander")
    one.on_disconnect = lambda *_: lost.append(True)
    yield one
    one.publish("/provision/request", b"still here")
    wait_for(lambda: one.got, "the reply")
    assert lost == []
    gone(one)


@pytest.mark.parametrize("lie", LIES)
def test_bytes_that_are_not_mqtt_end_their_own_connection(broker, bystander, lie):
    one = BareSocket(broker.port)

    one.send(LIES[lie])

    assert one.is_closed()
    one.close()


def test_random_bytes_end_their_own_connection(broker, bystander):
    dice = random.Random(1)
    for _ in range(100):
        for start in (b"", CONNECT):
            one = BareSocket(broker.port)
            # Ended by a forbidden packet, so that the broker does not wait for the rest of a short one.
            one.send(start + dice.randbytes(dice.randrange(1, 300)) + b"\x00\x00" * 40_000)
            assert one.is_closed()
            one.close()


def test_seventy_kilobytes_are_refused_before_they_are_read(broker, bystander, bridge):
    one = BareSocket(broker.port)

    one.send(CONNECT + publish_packet("/provision/request", bytes(70_000))[:10])

    assert one.receive(4) == CONNACK_ACCEPTED
    assert one.is_closed()
    assert b"still here" not in bridge.bodies()


def test_sixty_four_kilobytes_reach_the_bridge(broker, bridge):
    device = connected(broker.port, username="provision")

    device.publish("/provision/request", bytes(65_536))

    wait_for(lambda: device.got, "the reply")
    assert len(device.got[0][1]) == 65_536 + len(b"echo ")
    gone(device)


def test_silence_instead_of_connect_is_ended(broker, bystander):
    silent = [BareSocket(broker.port) for _ in range(3)]

    for one, sent in zip(silent, (b"", CONNECT[:1], CONNECT[:9]), strict=True):
        one.send(sent)

    # BareSocket waits 30 s, the broker 10.
    assert all(one.is_closed() for one in silent)


def test_unknown_protocol_version_gets_an_error(broker):
    for level in (6, 0):
        one = BareSocket(broker.port)
        one.send(connect_packet(username="provision", level=level))
        assert one.receive(99) == CONNACK_BAD_VERSION


def test_flood_of_requests_ends_its_own_connection(broker, bystander, bridge):
    bridge.hold = True
    one = BareSocket(broker.port)
    one.send(CONNECT + publish_packet("/provision/request", b"flood") * 50)

    assert one.receive(4) == CONNACK_ACCEPTED
    assert one.is_closed()
    bridge.hold = False
    assert bridge.bodies().count(b"flood") <= 16


def test_packets_that_come_byte_by_byte_are_understood(broker):
    one = BareSocket(broker.port)

    for byte in CONNECT + PINGREQ:
        one.send(bytes((byte,)))

    assert one.receive(6) == CONNACK_ACCEPTED + PINGRESP
    one.close()
