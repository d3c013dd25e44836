"""Random text from a cryptographic source."""

import secrets
import string

ALPHANUMERIC = string.ascii_letters + string.digits
# 62^20 is 119 bits.
RANDOM_LENGTH = 20


def random_alphanumeric(length: int = RANDOM_LENGTH) -> str:
    """Return `length` characters of `[A-Za-z0-9]`, each uniformly random."""
    text = ""
    while len(text) < length:
        # Bytes of 248 and above are dropped: 248 is a multiple of 62, so every character is equally likely.
        text += "".join(ALPHANUMERIC[byte % 62] for byte in secrets.token_bytes(2 * length) if byte < 248)
    return text[:length]
