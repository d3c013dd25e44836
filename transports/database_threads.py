"""Database work for an event loop, in a few threads of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connection

from provisioning.errors import Unavailable

THREADS = 8
# Beyond this many calls a new one is refused: its sender would have given up before its turn.
MAX_WAITING = 1_000

P = ParamSpec("P")
Result = TypeVar("Result")


class DatabaseThreads:
    """Runs calls in threads, each with a database connection that is kept as long as it is good."""

    def __init__(self, threads: int = THREADS, max_waiting: int = MAX_WAITING) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="database")
        self._max_waiting = max_waiting
        self._waiting = 0

    async def run(self, call: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return what `call` returns. Raises Unavailable if too many calls wait, and whatever `call` raises."""
        if self._waiting >= self._max_waiting:
            raise Unavailable("Too many calls are waiting.")
        self._waiting += 1
        future = self._pool.submit(_with_connection, lambda: call(*args, **kwargs))
        loop = asyncio.get_running_loop()
        # Counted until the thread has finished it, even if nobody waits for the result any more.
        future.add_done_callback(lambda _done: loop.is_closed() or loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish the running calls, and drop those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _done(self) -> None:
        self._waiting -= 1


def _with_connection(call: Callable[[], Result]) -> Result:
    # As Django does around each HTTP request: a broken connection is replaced before the call, and closed after it.
    close_old_connections()
    try:
        return call()
    finally:
        if connection.errors_occurred:
            close_old_connections()
