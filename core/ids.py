"""Ids of rows."""

import uuid

from uuid_utils.compat import uuid7


def new_id() -> uuid.UUID:
    """Return a new UUID of version 7: random, and sorted by time in an index (RFC 9562 section 5.7)."""
    return uuid7()
