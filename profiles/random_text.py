"""Random text from a cryptographic source."""

import secrets
import string

ALPHANUMERIC = string.ascii_letters + string.digits
# 62^20 is 119 bits.
RANDOM_LENGTH = 20


def random_alphanumeric(length: int = RANDOM_LENGTH) -> str:
    """Return `length` characters of `[A-Za-z0-9]`, each uniformly random."""
    return "".join(secrets.choice(ALPHANUMERIC) for _ in range(length))
