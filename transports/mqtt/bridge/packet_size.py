"""How large the MQTT packet of a reply is (docs/protocol.md, *Response*, Size)."""

from transports.handler import ReplySize

# ThingsBoard's device SDK and PubSubClient read into a buffer of this many bytes, for a whole packet.
FIRMWARE_BUFFER = 256


def reply_size(topic: str, correlation: bytes | None, max_packet: int, more: int = 0) -> ReplySize:
    """Return the size that a reply may have.

    `max_packet` is the client's Maximum Packet Size (MQTT 5), 0 if it named none; `more` are bytes that the broker adds.
    """
    around = _overhead(topic, correlation) + more
    wanted = min(FIRMWARE_BUFFER, max_packet or FIRMWARE_BUFFER) - around
    return ReplySize(wanted, max_packet - around if max_packet else None)


def _overhead(topic: str, correlation: bytes | None) -> int:
    """Return the bytes of a PUBLISH beside its payload, section 3.3 of MQTT 5: at QoS 1, with a length of two bytes."""
    # In MQTT 3.1.1 the length of the properties is not there: one byte too many is no harm.
    properties = 1 if correlation is None else 1 + (len(correlation) > 124) + 3 + len(correlation)
    return 1 + 2 + 2 + len(topic.encode()) + 2 + properties
