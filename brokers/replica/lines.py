"""The lines of the feed. Pure; deploy/mosquitto/plugin/FEED.md, *Lines*."""

import re
import uuid

from brokers.replica.digests import CredentialsDigest

EPOCH = "1"  # the cursor says by itself when it is not known any more
_ENCODED = re.compile(r"[%\x00-\x1f\x7f]")
_ENCODED_WORD = re.compile(r"[%\x00-\x20\x7f]")


def header(cursor: str, count: int) -> str:
    """Return the first line of a snapshot."""
    return f"firstlight 1 {EPOCH} {cursor} {count}\n"


def profile(number: int, profile_id: uuid.UUID, name: str, pattern: str) -> str:
    """Return the line that declares a profile, and the topics its devices may use."""
    words = " ".join(_ENCODED_WORD.sub(_percent, word) for word in (name, pattern) if word)
    return f"p {number} {profile_id.hex} {words}\n"


def device(device_id: uuid.UUID, digest: CredentialsDigest, *, name: str, gateway: bool, profile_number: int) -> str:
    """Return the line of a device that may connect."""
    flags = "g" if gateway else "-"
    encoded = _ENCODED.sub(_percent, name)
    return f"+ {device_id.hex} {flags} {profile_number} {digest.lookup} {digest.password or '-'} {encoded}\n"


def removed(device_id: uuid.UUID) -> str:
    """Return the line of a device that may not connect."""
    return f"- {device_id.hex}\n"


def end(cursor: str) -> str:
    """Return the last line."""
    return f"end {cursor}\n"


def _percent(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"
