"""Threads that do for an event loop what would block it: work with the database, above all."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import close_old_connections, connection

from provisioning.errors import Unavailable

THREADS = 8
# Beyond this many calls a new one is refused: its sender would have given up before its turn.
MAX_WAITING = 1_000

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that waits for a thread, and the future of its result, which belongs to `loop`."""

    call: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Threads:
    """Runs calls in threads. concurrent.futures does the same for twice the time, a tenth of a provision request."""

    def __init__(self, threads: int, max_waiting: int = MAX_WAITING) -> None:
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._max_waiting = max_waiting
        self._waiting = 0
        self._threads = [threading.Thread(target=self._work, name=f"worker-{number}", daemon=True) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    async def run(self, call: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return what `call` returns. Raises Unavailable if too many calls wait, and whatever `call` raises."""
        if self._waiting >= self._max_waiting:
            raise Unavailable("Too many calls are waiting.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        # Counted until a thread has finished it, even if the caller has given up.
        self._waiting += 1
        self._queue.put(_Call(partial(call, *args, **kwargs), loop, future))
        return await future

    def close(self) -> None:
        """Finish the running calls, and drop those that wait."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while job := self._queue.get():
            result, error = None, None
            try:
                result = self._run(job.call)
            except BaseException as err:  # noqa: BLE001 # it is raised in the loop
                # BaseException: a panic in Rust code is not an Exception, and the caller would wait for ever.
                error = err
            # The loop may have been closed meanwhile; then there is no caller left.
            with contextlib.suppress(RuntimeError):
                job.loop.call_soon_threadsafe(self._finish, job.future, result, error)
            # A thread that waits for its next call holds nothing of the last one.
            del job, result, error

    def _run(self, call: Callable[[], Any]) -> Any:
        return call()

    def _finish(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._waiting -= 1
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)


class DatabaseThreads(Threads):
    """Threads that each have a database connection, which is kept as long as it is good."""

    def __init__(self, threads: int = THREADS, max_waiting: int = MAX_WAITING) -> None:
        super().__init__(threads, max_waiting)

    def _run(self, call: Callable[[], Any]) -> Any:
        # As Django does around each HTTP request: a broken connection is replaced before the call, and closed after it.
        close_old_connections()
        try:
            return call()
        finally:
            if connection.errors_occurred:
                close_old_connections()
