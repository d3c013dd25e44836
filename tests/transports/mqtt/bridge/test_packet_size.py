"""How large a reply may be."""

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from transports.handler import ReplySize
from transports.mqtt.bridge.packet_size import reply_size


@pytest.mark.parametrize("correlation", [None, b"", b"c" * 20, b"c" * 124, b"c" * 125])
@pytest.mark.parametrize("topic", ["/provision/response", "/provision/response/Küche"])
def test_reply_of_the_wanted_size_fills_a_packet_of_256_bytes(topic, correlation):
    properties = Properties(PacketTypes.PUBLISH)
    if correlation is not None:
        properties.CorrelationData = correlation
    size = reply_size(topic, correlation, max_packet=0)
    # Section 3.3: first byte, length, topic, packet id, properties, payload.
    rest = 2 + len(topic.encode()) + 2 + len(properties.pack()) + size.wanted
    assert (1 + len(VariableByteIntegers.encode(rest)) + rest, size.most) == (256, None)


def test_smaller_maximum_packet_size_is_kept_and_a_larger_one_changes_nothing():
    whole = reply_size("/provision/response", None, max_packet=0)

    assert reply_size("/provision/response", None, max_packet=200) == ReplySize(whole.wanted - 56, whole.wanted - 56)
    assert reply_size("/provision/response", None, max_packet=1256) == ReplySize(whole.wanted, whole.wanted + 1000)
