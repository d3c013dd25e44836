"""Which text may be stored as a name, token, user name or key."""

import re

MAX_TEXT_LENGTH = 255

# Unicode's category Cc, and the surrogates, category Cs. Unicode guarantees that neither ever grows.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def has_control_characters(text: str) -> bool:
    """Return whether `text` has characters that no database column or MQTT string should contain.

    Those are the control characters (category Cc, NUL among them), and lone surrogates (Cs), which have no UTF-8
    form. Source: docs/protocol.md, *Request*; MQTT 3.1.1 section 1.5.3.
    """
    return _CONTROL.search(text) is not None


def sanitized(text: str, limit: int = MAX_TEXT_LENGTH) -> str:
    """Return `text` without control characters, at most `limit` characters long, e.g. for a log column."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:limit])
