"""Database connections that live as long as their threads."""

from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

Result = TypeVar("Result")


def retry_stale_connection(read: Callable[[], Result]) -> Result:
    """Return what `read()` returns; where the connection turns out to be dead, try once more on a new one.

    A restart of the database leaves every thread with a dead connection. Django looks for one only where an HTTP
    request begins, which never happens in the thread of a queue, of the broker or of the CoAP server. For the first
    statement of a piece of work, outside of a transaction. Raises OperationalError while the database is away.
    """
    try:
        return read()
    except (OperationalError, InterfaceError):
        if connection.connection is None or connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return read()
