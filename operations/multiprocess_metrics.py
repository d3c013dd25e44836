"""Worker processes of one web server keep their metrics in files, so that any of them can answer for all.

prometheus_client names these files by process id, and they stay for ever: each worker that was restarted leaves
some behind. Here a worker takes the lowest free slot, and holds it by a lock that ends with the process. So there are
as many files as workers, and who takes a dead worker's slot goes on counting where that one stopped.
"""

import fcntl
import os
from pathlib import Path
from typing import IO

from prometheus_client import multiprocess, values

from core.locks import try_lock

_LOCK = "slot-{}.lock"
MAX_WORKERS = 256


class _Slot:
    """The slot of this process in `folder`; a forked process takes one of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number: int | None = None
        self._lock: IO[bytes] | None = None
        os.register_at_fork(after_in_child=self._forget)

    def number(self) -> int:
        if self._number is None:
            return self._take()
        return self._number

    def _forget(self) -> None:
        self._number = None

    def _take(self) -> int:
        with (self._folder / "lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            if not _taken(self._folder):
                # Nobody is here: the files are of an earlier run.
                for leftover in self._folder.glob("*.db"):
                    leftover.unlink()
            for number in range(MAX_WORKERS):
                lock = try_lock(self._folder / _LOCK.format(number))
                if lock:
                    _forget_state(number, self._folder)
                    self._number, self._lock = number, lock
                    return number
        raise RuntimeError(f"More than {MAX_WORKERS} worker processes share {self._folder}.")


def share_metrics(folder: Path) -> None:
    """Keep all metrics that are made from now on in `folder`, which worker processes of one server share."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue(_Slot(folder).number)  # type: ignore[no-untyped-call]


def forget_dead_workers(folder: Path) -> None:
    """Remove the gauges of dead workers, such as queue lengths; their counters stay."""
    for path in folder.glob(_LOCK.format("*")):
        lock = try_lock(path)
        if lock:
            with lock:
                _forget_state(path.stem.removeprefix("slot-"), folder)


def _forget_state(number: int | str, folder: Path) -> None:
    multiprocess.mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]


def _taken(folder: Path) -> bool:
    for path in folder.glob(_LOCK.format("*")):
        lock = try_lock(path)
        if lock is None:
            return True
        lock.close()
    return False
