"""Database connections that stay open as long as their thread."""

from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

Result = TypeVar("Result")


def retry_stale_connection(read: Callable[[], Result]) -> Result:
    """Return what `read()` returns. If the connection turns out to be dead, try once more on a new one.

    A restart of the database leaves every thread with a dead connection. Django checks connections only when an HTTP
    request begins, which never happens in the threads of a queue, the broker or the CoAP server. Use it for the first
    statement of a task, outside of a transaction. Raises OperationalError while the database is unavailable.
    """
    try:
        return read()
    except (OperationalError, InterfaceError):
        if connection.connection is None or connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return read()
