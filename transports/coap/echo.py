"""Does a CoAP peer receive at the address it sends from (RFC 9175, the Echo option)?

A UDP source can be forged. A peer that returns what was sent to that address proves that it receives there. Nothing is
stored for that: the value holds its time and a MAC over time and address, under a key that all CoAP servers share.
"""

import hmac
import time

from aiocoap import Code, Message

from core.encryption import lookup_id

# RFC 9175 section 2.3: how long a value is taken for fresh. A device answers within a few seconds.
FRESH_S = 120
_TIME_BYTES = 4
_MAC_BYTES = 8


def challenge(address: str) -> Message:
    """Return the short answer that asks the peer at `address` to repeat its request with an Echo option: 4.01."""
    return Message(code=Code.UNAUTHORIZED, echo=_value(address, int(time.time())))


def has_proven(request: Message, address: str) -> bool:
    """Return whether `request` has the Echo value that was sent to `address` lately."""
    value = request.opt.echo or b""
    sent = int.from_bytes(value[:_TIME_BYTES], "big")
    return 0 <= time.time() - sent <= FRESH_S and hmac.compare_digest(value, _value(address, sent))


def _value(address: str, sent: int) -> bytes:
    mac = bytes.fromhex(lookup_id("coap-echo", address, str(sent)))
    return sent.to_bytes(_TIME_BYTES, "big") + mac[:_MAC_BYTES]
