"""Worker processes that serve one listening socket: started, started again when one dies, stopped together."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

# Workers finish their requests within server.GRACE_S; what is left after this is killed.
KILL_AFTER_S = 7.0
# A worker that dies younger than this is started again with a pause: it may die of the same thing again.
YOUNG_S = 5.0
PAUSE_S = 1.0

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


class Workers:
    """Keeps `count` forked processes running, each of which calls `work(number)`, with numbers from 0.

    They share with this process all memory that neither writes to. `on_death(number)` is called here before the worker of
    that number is replaced. Needs the main thread, and that there is no other.
    """

    def __init__(self, count: int, work: Callable[[int], None], on_death: Callable[[int], None]) -> None:
        self._work, self._on_death = work, on_death
        self._to_start = list(range(count))
        self._running: dict[int, tuple[int, float]] = {}

    def run(self) -> None:
        """Return when all workers have ended after SIGTERM or SIGINT."""
        with _blocked_signals():
            while True:
                while self._to_start:
                    self._start(self._to_start.pop())
                if signal.sigwait(_SIGNALS) != signal.SIGCHLD:
                    break
                self._reap(restart=True)
            self._stop()

    def _start(self, number: int) -> None:
        pid = os.fork()
        if pid:
            self._running[pid] = (number, time.monotonic())
            return
        code = 1
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._work(number)
            code = 0
        except BaseException:
            log.exception("A web worker failed")
        finally:
            # Whatever the parent has open or has still to do is not this process's business.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self, *, restart: bool) -> None:
        for pid, status in _ended():
            number, started = self._running.pop(pid)
            if not restart:
                continue
            log.error("Web worker %d ended with code %d and is started again", pid, os.waitstatus_to_exitcode(status))
            self._on_death(number)
            if time.monotonic() - started < YOUNG_S:
                time.sleep(PAUSE_S)
            self._to_start.append(number)

    def _stop(self) -> None:
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + KILL_AFTER_S
        while self._running:
            left = deadline - time.monotonic()
            if left <= 0 or signal.sigtimedwait({signal.SIGCHLD}, left) is None:
                self._signal_all(signal.SIGKILL)
                deadline = time.monotonic() + KILL_AFTER_S
            self._reap(restart=False)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._running:
            os.kill(pid, number)


def _ended() -> Iterator[tuple[int, int]]:
    """Yield process id and status of each child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block signals until sigwait takes them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
