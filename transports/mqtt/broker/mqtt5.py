"""The part of MQTT 5 that clients need here, as a translation: amqtt speaks MQTT 3.1.1 and never sees the difference.

`incoming` turns the body of a packet from its MQTT 5 form to that of 3.1.1, `outgoing` a whole packet the other way.
Section numbers are those of the MQTT 5.0 specification. What is not offered (topic aliases, retained messages,
subscription identifiers) the CONNACK says.
"""

import struct
from dataclasses import dataclass, field

from amqtt.errors import MQTTError
from amqtt.mqtt.packet import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    MQTTFixedHeader,
)

from transports.mqtt import reason_codes

# Reason codes, section 2.4.
SUCCESS = 0x00
NO_MATCHING_SUBSCRIBERS = 0x10
MALFORMED_PACKET = 0x81
IMPLEMENTATION_SPECIFIC_ERROR = 0x83
BAD_USER_NAME_OR_PASSWORD = 0x86
NOT_AUTHORIZED = reason_codes.NOT_AUTHORIZED
SERVER_SHUTTING_DOWN = 0x8B
KEEP_ALIVE_TIMEOUT = 0x8D
SESSION_TAKEN_OVER = 0x8E
TOPIC_FILTER_INVALID = 0x8F
TOPIC_NAME_INVALID = reason_codes.TOPIC_NAME_INVALID
PACKET_TOO_LARGE = 0x95
QUOTA_EXCEEDED = reason_codes.QUOTA_EXCEEDED
PAYLOAD_FORMAT_INVALID = reason_codes.PAYLOAD_FORMAT_INVALID
CONNECTION_RATE_EXCEEDED = 0x9F
UNSPECIFIED_ERROR = 0x80

# Return codes of CONNACK in 3.1.1, and the reason codes that say the same, section 3.2.2.2.
CONNACK_REASONS = {0: SUCCESS, 1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: NOT_AUTHORIZED}
_SUBACK_FAILURE = 0x80

# Properties by the form of their value, section 2.2.2.2.
_FIXED_SIZES = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
}
_PREFIXED = frozenset((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F))
_RESPONSE_TOPIC, _CORRELATION_DATA, _TOPIC_ALIAS = 0x08, 0x09, 0x23
_SESSION_EXPIRY, _RECEIVE_MAXIMUM = 0x11, 0x21
_SUBSCRIPTION_ID, _USER_PROPERTY = 0x0B, 0x26
_ASSIGNED_CLIENT_ID, _RETAIN_AVAILABLE, _MAXIMUM_PACKET_SIZE, _SUBSCRIPTION_IDS_AVAILABLE = 0x12, 0x25, 0x27, 0x29

_WILL = 0x04


@dataclass(frozen=True, slots=True)
class Properties:
    """What a CONNECT or PUBLISH carried that has no place in 3.1.1."""

    session_expiry_s: int = 0
    receive_maximum: int = 65_535
    maximum_packet_size: int = 0xFFFF_FFFF
    response_topic: str = ""
    correlation: bytes | None = field(default=None, repr=False)


NONE = Properties()


def incoming(kind: int, flags: int, body: bytes) -> tuple[bytes, Properties]:
    """Return the 3.1.1 body of an MQTT 5 packet, and its properties. Raises MQTTError."""
    try:
        if kind == CONNECT:
            return _connect(body)
        if kind == PUBLISH:
            return _publish(flags, body)
        if kind == SUBSCRIBE:
            return _subscribe(body), NONE
        if kind == UNSUBSCRIBE:
            return body[:2] + body[_properties(body, 2)[1] :], NONE
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise MQTTError("Malformed MQTT 5 packet") from None
    if kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        return body[:2], NONE
    return (b"" if kind == DISCONNECT else body), NONE


def outgoing(packet: bytes, properties: bytes = b"") -> bytes:
    """Return the MQTT 5 form of `packet`, one whole packet in the form of 3.1.1, with `properties` where it takes some."""
    first, body = packet[0], packet[_varint(packet, 1)[1] :]
    kind = first >> 4
    if kind == CONNACK:
        return _framed(first, bytes((body[0], CONNACK_REASONS[body[1]])) + _sized(properties))
    if kind == PUBLISH:
        at = _end_of_head(first & 0x0F, body)
        return _framed(first, body[:at] + _sized(properties) + body[at:])
    if kind == SUBACK:
        codes = bytes(TOPIC_FILTER_INVALID if code == _SUBACK_FAILURE else code for code in body[2:])
        return _framed(first, body[:2] + b"\0" + codes)
    return packet


def connack_properties(*, assigned_client_id: str, max_packet_bytes: int) -> bytes:
    """Return the properties of a CONNACK, section 3.2.2.3. The id is empty when the client brought its own."""
    offered = bytes((_RETAIN_AVAILABLE, 0, _SUBSCRIPTION_IDS_AVAILABLE, 0, _MAXIMUM_PACKET_SIZE))
    offered += struct.pack("!I", max_packet_bytes)
    if assigned_client_id:
        offered += bytes((_ASSIGNED_CLIENT_ID,)) + _prefixed(assigned_client_id.encode())
    return offered


def correlation_properties(correlation: bytes | None) -> bytes:
    """Return the properties of a PUBLISH that answers the request with this correlation data, section 4.10."""
    return b"" if correlation is None else bytes((_CORRELATION_DATA,)) + _prefixed(correlation)


def user_property(name: str, value: str) -> bytes:
    """Return a user property of a PUBLISH, section 3.3.2.3.7."""
    return bytes((_USER_PROPERTY,)) + _prefixed(name.encode()) + _prefixed(value.encode())


def connack(reason: int) -> bytes:
    """Return a whole CONNACK packet that refuses a client, section 3.2."""
    return _framed(CONNACK << 4, bytes((0, reason)) + _sized(b""))


def unsuback(packet_id: int, topics: int) -> bytes:
    """Return a whole UNSUBACK packet, section 3.11: unlike that of 3.1.1 it has a code for each topic."""
    return _framed(UNSUBACK << 4, struct.pack("!HB", packet_id, 0) + bytes(topics))


def acknowledgement(kind: int, packet_id: int, reason: int) -> bytes:
    """Return a whole PUBACK or PUBREC packet with its reason, sections 3.4 and 3.5."""
    return _framed(kind << 4, struct.pack("!HB", packet_id, reason))


def disconnect(reason: int) -> bytes:
    """Return a whole DISCONNECT packet, section 3.14."""
    return _framed(DISCONNECT << 4, bytes((reason,)))


def varint_bytes(value: int) -> bytes:
    """Return `value` as a variable byte integer, section 1.5.5."""
    return bytes(MQTTFixedHeader(0, 0, value).to_bytes()[1:])


def _connect(body: bytes) -> tuple[bytes, Properties]:
    flags = body[7]
    found, at = _properties(body, 10)
    rest = at + 2 + _u16(body, at)
    client_id = body[at:rest]
    if flags & _WILL:
        rest = _properties(body, rest)[1]
    properties = Properties(
        session_expiry_s=int.from_bytes(found.get(_SESSION_EXPIRY, b"\0")),
        receive_maximum=int.from_bytes(found.get(_RECEIVE_MAXIMUM, b"\xff\xff")),
        maximum_packet_size=int.from_bytes(found.get(_MAXIMUM_PACKET_SIZE, b"\xff\xff\xff\xff")),
    )
    if not properties.receive_maximum or not properties.maximum_packet_size:
        raise MQTTError("Receive Maximum or Maximum Packet Size is 0 [MQTT 5 sections 3.1.2.11.3 and 3.1.2.11.4]")
    return body[:6] + b"\4" + body[7:10] + client_id + body[rest:], properties


def _publish(flags: int, body: bytes) -> tuple[bytes, Properties]:
    head = _end_of_head(flags, body)
    found, at = _properties(body, head)
    if _TOPIC_ALIAS in found:
        raise MQTTError("A topic alias, but none were offered [MQTT 5 section 3.3.2.3.4]")
    properties = NONE
    if _RESPONSE_TOPIC in found or _CORRELATION_DATA in found:
        topic = found.get(_RESPONSE_TOPIC, b"").decode()
        properties = Properties(response_topic=topic, correlation=found.get(_CORRELATION_DATA))
    return body[:head] + body[at:], properties


def _subscribe(body: bytes) -> bytes:
    """Return the body without properties, and without those subscription options that 3.1.1 has no place for."""
    at = _properties(body, 2)[1]
    plain = bytearray(body[:2])
    while at < len(body):
        options = at + 2 + _u16(body, at)
        plain += body[at:options]
        plain.append(body[options] & 0x03)
        at = options + 1
    return bytes(plain)


def _end_of_head(flags: int, body: bytes) -> int:
    """Return where the properties of a PUBLISH stand: behind its topic and, above QoS 0, its packet id."""
    return 2 + _u16(body, 0) + (2 if flags & 0x06 else 0)


def _properties(body: bytes, at: int) -> tuple[dict[int, bytes], int]:
    """Return the properties that begin at `at`, without user properties, and where they end."""
    size, at = _varint(body, at)
    end = at + size
    if end > len(body):
        raise IndexError(end)
    found: dict[int, bytes] = {}
    while at < end:
        name, at = body[at], at + 1
        if name == _SUBSCRIPTION_ID:
            _, at = _varint(body, at)
        elif name == _USER_PROPERTY:
            at += 2 + _u16(body, at)
            at += 2 + _u16(body, at)
        else:
            start = at + 2 if name in _PREFIXED else at
            at = start + (_u16(body, at) if name in _PREFIXED else _FIXED_SIZES[name])
            found[name] = body[start:at]
    if at != end:
        raise IndexError(at)
    return found, end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the variable byte integer at `at`, section 1.5.5, and where it ends."""
    value = 0
    for shift in (0, 7, 14, 21):
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError(at)


def _u16(data: bytes, at: int) -> int:
    number: int = struct.unpack_from("!H", data, at)[0]
    return number


def _prefixed(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _sized(properties: bytes) -> bytes:
    return varint_bytes(len(properties)) + properties


def _framed(first: int, body: bytes) -> bytes:
    return bytes((first,)) + varint_bytes(len(body)) + body
