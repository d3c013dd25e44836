"""The translation between MQTT 5 and 3.1.1, against paho's own encoder and any bytes at all."""

import contextlib

import pytest
from amqtt.errors import MQTTError
from amqtt.mqtt.packet import CONNECT, DISCONNECT, PUBACK, PUBLISH, SUBSCRIBE, UNSUBSCRIBE
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.mqtt import text
from transports.mqtt.broker import mqtt5

KINDS = (CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PUBACK, DISCONNECT)


def packed(kind: int, **values: object) -> bytes:
    """Return properties as paho packs them."""
    properties = Properties(kind)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties.pack()


def test_connect_loses_its_properties_and_keeps_its_fields():
    properties = packed(
        PacketTypes.CONNECT,
        SessionExpiryInterval=30,
        ReceiveMaximum=20,
        UserProperty=[("a", "b"), ("a", "c")],
        AuthenticationMethod="none",
        RequestProblemInformation=1,
        MaximumPacketSize=70_000,
    )
    will = packed(PacketTypes.WILLMESSAGE, WillDelayInterval=5, ContentType="text")
    fields = text("will topic") + text("will") + text("name") + text("password")

    body, got = mqtt5.incoming(CONNECT, 0, b"\0\4MQTT\5\xc4\0\x3c" + properties + text("id") + will + fields)

    assert body == b"\0\4MQTT\4\xc4\0\x3c" + text("id") + fields
    assert got == mqtt5.Properties(session_expiry_s=30, receive_maximum=20, maximum_packet_size=70_000)


@pytest.mark.parametrize(("flags", "packet_id"), [(0, b""), (2, b"\0\7"), (0x0D, b"\0\7")])
def test_publish_loses_its_properties_and_keeps_its_body(flags, packet_id):
    properties = packed(PacketTypes.PUBLISH, ResponseTopic="back", CorrelationData=b"\0\1", MessageExpiryInterval=9)

    body, got = mqtt5.incoming(PUBLISH, flags, text("topic") + packet_id + properties + b"body")

    assert body == text("topic") + packet_id + b"body"
    assert (got.response_topic, got.correlation) == ("back", b"\0\1")


def test_publish_with_a_topic_alias_is_refused():
    with pytest.raises(MQTTError, match="topic alias"):
        mqtt5.incoming(PUBLISH, 0, text("") + packed(PacketTypes.PUBLISH, TopicAlias=1) + b"body")


def test_subscribe_keeps_the_qos_of_its_options():
    properties = packed(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=300)

    body, _ = mqtt5.incoming(SUBSCRIBE, 2, b"\0\1" + properties + text("a") + b"\x2d" + text("b/#") + b"\x02")

    assert body == b"\0\1" + text("a") + b"\1" + text("b/#") + b"\2"


def test_unsubscribe_and_acknowledgement_lose_what_3_1_1_has_no_place_for():
    assert mqtt5.incoming(UNSUBSCRIBE, 2, b"\0\1\0" + text("a"))[0] == b"\0\1" + text("a")
    assert mqtt5.incoming(PUBACK, 0, b"\0\1\x10\0")[0] == b"\0\1"
    assert mqtt5.incoming(DISCONNECT, 0, b"\x04\0")[0] == b""


def test_connack_carries_reason_and_offers_that_paho_reads():
    offered = mqtt5.connack_properties(assigned_client_id="assigned", max_packet_bytes=66_560)

    accepted = mqtt5.outgoing(b"\x20\x02\x01\x00", offered)
    refused = mqtt5.outgoing(b"\x20\x02\x00\x05")

    read = Properties(PacketTypes.CONNACK)
    read.unpack(accepted[4:])
    assert accepted[:4] == bytes((0x20, len(accepted) - 2, 1, 0))
    assert (read.AssignedClientIdentifier, read.MaximumPacketSize, read.RetainAvailable) == ("assigned", 66_560, 0)
    assert refused == b"\x20\x03\x00\x87\x00"


def test_suback_and_publish_get_room_for_properties():
    assert mqtt5.outgoing(b"\x90\x04\x00\x01\x01\x80") == b"\x90\x05\x00\x01\x00\x01\x8f"
    assert mqtt5.outgoing(b"\x30\x04\x00\x01tx") == b"\x30\x05\x00\x01t\x00x"


@given(st.sampled_from(KINDS), st.integers(0, 15), st.binary(max_size=60))
def test_any_bytes_are_translated_or_refused_as_mqtt(kind, flags, data):
    with contextlib.suppress(MQTTError):
        body, properties = mqtt5.incoming(kind, flags, data)
        assert isinstance(body, bytes)
        assert isinstance(properties, mqtt5.Properties)
