"""Database work for the event loop, in a few threads of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import close_old_connections, connection

from provisioning.errors import Unavailable

THREADS = 8
# Beyond this many calls a new one is told to come back: its sender would have given up before its turn.
MAX_WAITING = 1_000

Result = TypeVar("Result")


class DatabaseThreads:
    """Runs calls in threads, each with a database connection that lives as long as it is good."""

    def __init__(self, threads: int = THREADS, max_waiting: int = MAX_WAITING) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="device-data")
        self._max_waiting = max_waiting
        self._waiting = 0

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns. Raises Unavailable when too many wait, and whatever `call` raises."""
        if self._waiting >= self._max_waiting:
            raise Unavailable("Too many calls are waiting.")
        self._waiting += 1
        future = self._pool.submit(_with_connection, call)
        loop = asyncio.get_running_loop()
        # Counted until the thread is done with it, even when nobody waits for the answer any more.
        future.add_done_callback(lambda _done: loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what runs, and drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _done(self) -> None:
        self._waiting -= 1


def _with_connection(call: Callable[[], Result]) -> Result:
    # As Django does around each HTTP request: a connection that broke meanwhile is replaced, one that breaks is closed.
    close_old_connections()
    try:
        return call()
    finally:
        if connection.errors_occurred:
            close_old_connections()
