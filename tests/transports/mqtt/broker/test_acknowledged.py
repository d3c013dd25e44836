"""Nothing is acknowledged that is dropped: every kind of message on every topic, for each role and protocol."""

import itertools

import pytest

from tests.support.mqtt import PINGREQ, BareSocket, connect_packet, publish_packet

TOPICS = [
    "v1/devices/me/telemetry",
    "v2/t",
    "v2/t/j",
    "v1/devices/me/attributes",
    "v2/a",
    "v2/a/j",
    "v1/devices/me/attributes/request/7",
    "v1/devices/me/rpc/request/7",
    "v1/gateway/connect",
    "v1/gateway/telemetry",
    "v1/gateway/attributes",
    "v1/gateway/attributes/request",
    "v1/gateway/rpc",
    "v2/t/p",
    "v2/fw/request/1/chunk/0",
    "v1/devices/me/claim",
    "/provision/request",
    "/provision/response",
    "$SYS/broker",
]
SERVED = {
    "provisioning": {"/provision/request"},
    "device": set(TOPICS[:8]),
    "gateway": set(TOPICS[:12]),
}
# Each has the word KEY, as a key or a name, by which the test finds again what was stored.
MESSAGES = {
    "values": '{"KEY": 1}',
    "values with a time as text": '{"ts": "1700000000000", "values": {"KEY": 1}, "KEY": 1}',
    "array": '[{"KEY": 1}]',
    "lenient JSON": "{'KEY': 1, other: NaN}",
    "Latin-1": '{"KEY": "Küche"}',
    "values of a child": '{"child KEY": {"a": 1}}',
    "attribute request": '{"sharedKeys": "a", "KEY": 1}',
    "request for a child": '{"id": 3, "device": "child KEY", "client": true, "keys": ["a"], "KEY": 1}',
    "connected child": '{"device": "child KEY", "KEY": 1}',
    "session limits": '{"method": "getSessionLimits", "params": {}, "KEY": 1}',
    "another call": '{"method": "reboot", "KEY": 1}',
    "broken JSON": '{"KEY": ',
}
STORED = """
from devices.models import Device, DeviceAttribute, LatestTelemetry
result = [str([*Device.objects.values_list("name"), *DeviceAttribute.objects.values_list("key", "value"),
               *LatestTelemetry.objects.values_list("key", "value")])]
"""
MAKE_GATEWAY = """
from devices.models import Device
from devices.services import device_create
from profiles.models import DeviceProfile
profile, _ = DeviceProfile.objects.get_or_create(name="tests")
result = device_create(name=given["name"], profile=profile, gateway=True).credentials.value
"""


class Conversation:
    """What the broker says after one PUBLISH at QoS 1: the reason of its PUBACK, or how it ended the connection."""

    def __init__(self, port, username, level, topic, body):
        self.puback = self.disconnect = None
        self.answers = []
        self._socket = BareSocket(port)
        self._socket.send(connect_packet(username=username, level=level))
        kind, connack = self._packet()
        assert (kind, connack[1]) == (2, 0)
        self._socket.send(publish_packet(topic, body, packet_id=1, level=level))
        while self.puback is None and self._take():
            pass
        if self.puback is not None and username != "provision":
            self._socket.send(PINGREQ)
            while self._take():
                pass
        self._socket.close()

    @property
    def accepted(self):
        return self.puback is not None and self.puback < 0x80

    def _take(self):
        """Take one packet; return whether more can follow."""
        kind, body = self._packet()
        if kind == 4:
            self.puback = body[2] if len(body) > 2 else 0
        if kind == 14:
            self.disconnect = body[0]
        if kind == 3:
            self.answers.append(body)
        return kind not in (None, 13)

    def _packet(self):
        head = self._socket.receive(1)
        if not head:
            return None, b""
        length, shift = 0, 0
        while True:
            (byte,) = self._socket.receive(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return head[0] >> 4, self._socket.receive(length)


@pytest.fixture(scope="module")
def usernames(broker):
    gateway = broker.shell(MAKE_GATEWAY, name="the gateway")
    return {"provisioning": "provision", "device": broker.add_device("the device"), "gateway": gateway}


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("role", ["provisioning", "device", "gateway"])
def test_what_is_acknowledged_is_stored_or_answered_and_the_rest_is_refused(broker, bridge, usernames, role, level):
    conversations = {}
    for number, (topic, kind) in enumerate(itertools.product(TOPICS, MESSAGES)):
        key = f"{role}-{level}-{number}-"
        body = MESSAGES[kind].replace("KEY", key).encode("iso-8859-1")
        conversations[topic, kind] = key, Conversation(broker.port, usernames[role], level, topic, body)
    (stored,) = broker.shell(STORED)
    stored += str(bridge.bodies())

    accepted = {case for case, (_, one) in conversations.items() if one.accepted}
    assert accepted == {case for case, (key, one) in conversations.items() if key in stored or one.answers}
    for topic, kind in conversations.keys() - accepted:
        one = conversations[topic, kind][1]
        if level == 4:
            assert one.puback is None, (topic, kind)
        elif role == "provisioning":
            assert (one.puback, one.disconnect) == (None, 0x90), (topic, kind)
        else:
            assert one.puback in (0x83, 0x87, 0x90, 0x99), (topic, kind)
            assert one.disconnect is None, (topic, kind)
    assert {topic for topic, _ in accepted} == SERVED[role]
