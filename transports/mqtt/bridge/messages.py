"""What comes from the broker and what goes to it. No repr has a body: bodies hold secrets."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a device, as the broker delivered it; `repeated` is its DUP flag. The last six fields are MQTT 5's."""

    topic: str
    body: bytes = field(repr=False)
    retained: bool = False
    repeated: bool = False
    response_topic: str = ""
    correlation: bytes | None = field(default=None, repr=False)
    # The largest packet that the device accepts, where the embedded broker says so; 0 is any.
    max_packet: int = 0
    # Bytes that the device's own topic and properties take from its reply, where the embedded broker says so.
    reply_overhead: int = 0
    # The certificate of the device's TLS connection, as the embedded broker signs it.
    certificate: str = field(default="", repr=False)
    # Seconds after which nobody waits for the answer, if the device has said so (Message Expiry Interval).
    expires_in_s: int | None = None
    # Published by a bridge, not by a device.
    own: bool = False

    def fingerprint(self) -> bytes:
        """Return a digest that identifies this message."""
        parts = (self.topic.encode(), self.body, self.response_topic.encode(), self.correlation or b"")
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            digest.update(len(part).to_bytes(8) + part)
        return digest.digest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the device receives, and on which topic."""

    topic: str
    body: bytes = field(repr=False)
    correlation: bytes | None = field(default=None, repr=False)
    # Marked as the bridge's own: on a broker with mount points it comes back on a topic that devices publish on.
    own: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message. `held`: it has to wait, and is not acknowledged yet. Without an answer there is none to send."""

    answer: Answer | None = None
    held: bool = False
