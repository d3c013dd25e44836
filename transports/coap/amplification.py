"""A small datagram from a forged address must not send a large one to the owner of that address.

RFC 9175 section 2.4: a peer that has not proven its address gets at most three times the bytes that it sent, headers
counted. An error loses its text for that, and a longer answer comes in smaller blocks.
"""

import json

from aiocoap import Message
from aiocoap.numbers import ContentFormat

FACTOR = 3
# IPv4 and UDP. With IPv6 a request has 20 bytes more, and so has its answer: the ratio is smaller.
_IP_BYTES = 28
_COAP_BYTES = 4
# Payload marker and Content-Format; Max-Age, Size1, ETag or Block2 where an answer has them, about.
_OPTIONS_BYTES = 4
_MORE_OPTIONS_BYTES = 16
# An error whose text would be shorter than this is sent without.
_TEXT_BYTES = 8


def payload_room(request: Message, body_bytes: int) -> int:
    """Return how many bytes of payload the answer to `request` may have, whose body has `body_bytes` in all its blocks."""
    options = sum(len(part) + 1 for part in (*request.opt.uri_path, *request.opt.uri_query))
    received = _IP_BYTES + _COAP_BYTES + len(request.token) + options + body_bytes
    return max(0, FACTOR * received - _IP_BYTES - _COAP_BYTES - len(request.token) - _OPTIONS_BYTES)


def block_room(room: int) -> int:
    """Return how much of `room` a block has beside its options."""
    return max(0, room - _MORE_OPTIONS_BYTES)


def shortened(answer: Message, room: int) -> Message:
    """Return `answer`; an error that is longer than `room` has its text cut off, or none at all."""
    if answer.opt.max_age is not None or answer.opt.size1 is not None:
        room = block_room(room)
    if len(answer.payload) <= room or answer.code.is_successful():
        return answer
    payload = _cut(answer.payload, room) if answer.opt.content_format == ContentFormat.JSON else b""
    return answer.copy(payload=payload, content_format=ContentFormat.JSON if payload else None)


def _cut(payload: bytes, room: int) -> bytes:
    """Return the failure `payload` with less of its errorMsg, so that it has `room` bytes; b"" if nothing of use is left."""
    failure = json.loads(payload)
    surplus = len(_encode(failure)) - room
    failure["errorMsg"] = failure["errorMsg"][: max(0, len(failure["errorMsg"]) - max(0, surplus))]
    return _encode(failure).encode() if len(failure["errorMsg"]) >= _TEXT_BYTES else b""


_encode = json.JSONEncoder(separators=(",", ":")).encode
