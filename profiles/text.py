"""What text is fit to be stored as a name, token, user name or key."""

import unicodedata

MAX_TEXT_LENGTH = 255


def has_control_characters(text: str) -> bool:
    """Return whether `text` has characters that no database column or MQTT string should carry.

    Those are the control characters (category Cc, NUL among them), and lone surrogates (Cs), which have no UTF-8
    form. Source: protocol.md, *Request*; MQTT 3.1.1 section 1.5.3.
    """
    return any(
        (character < " ") or (character >= "\x7f" and unicodedata.category(character) in ("Cc", "Cs")) for character in text
    )


def storable(text: str, limit: int = MAX_TEXT_LENGTH) -> str:
    """Return `text` made fit for a log column: control characters replaced, at most `limit` characters."""
    shortened = text[:limit]
    if not has_control_characters(shortened):
        return shortened
    return "".join("\N{REPLACEMENT CHARACTER}" if has_control_characters(character) else character for character in shortened)
