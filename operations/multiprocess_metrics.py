"""Worker processes of one web server keep their metrics in files, so that any of them can answer for all.

Each worker has the files of its number. The one that replaces it goes on counting there, so there are as many files as
workers, for ever.
"""

import logging
import os
from pathlib import Path
from typing import IO

from prometheus_client import mmap_dict, multiprocess, values

from core.locks import try_lock
from core.private_files import make_private_folder

log = logging.getLogger(__name__)

# Of each file: some 5,000 values, more than there are. Taken from the disk at once, since a process that writes to memory
# for which the disk has no room any more is killed (SIGBUS).
FILE_BYTES = 1024 * 1024
# Whose files the metrics are in that are made before the workers are started.
_PARENT = "parent"


class SharedMetrics:
    """The metrics of one web server's processes, in a folder that no other web server uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Whether all metrics of this process are there.
        self.complete = True
        self._slot: int | str = _PARENT
        # An open file that is locked until the last of our processes ends.
        self._lock = self._take()

    def use_slot(self, number: int) -> None:
        """Count as worker `number` in this process from now on."""
        self._slot = number

    def forget_state(self, number: int) -> None:
        """Remove what worker `number`, which has died, said of its present state, such as queue lengths; its counts stay."""
        multiprocess.mark_process_dead(number, str(self.folder))  # type: ignore[no-untyped-call]

    def slot(self) -> int | str:
        return self._slot

    def allocate(self, path: str) -> str:
        """Return `path`, a file with room on the disk. When there is none: a file in memory, which nobody else reads."""
        if self._lock is not None:
            try:
                _allocate(path)
            except OSError as err:
                self._complain(str(err.strerror))
            else:
                return path
        return f"/proc/self/fd/{os.memfd_create('metrics')}"

    def _take(self) -> IO[bytes] | None:
        """Lock the folder and empty it; return None where that cannot be done, or another web server has it."""
        try:
            make_private_folder(self.folder)
            lock = try_lock(self.folder / "lock")
            if lock is None:
                self._complain("another web server uses it")
                return None
            for leftover in self.folder.glob("*.db"):
                leftover.unlink()
        except OSError as err:
            self._complain(str(err.strerror))
            return None
        return lock

    def _complain(self, problem: str) -> None:
        self.complete = False
        log.error("Metrics cannot be kept in %s (%s); each process of the web server counts for itself", self.folder, problem)


# Those of this process, once share_metrics() was called.
shared: SharedMetrics | None = None


def share_metrics(folder: Path) -> None:
    """Have all metrics that are made from now on in this process, and in those that it forks, kept in `folder`.

    Metrics never keep a web server from serving: where the disk is full, each process counts for itself, and the log says so.
    """
    global shared  # noqa: PLW0603 # prometheus_client has but one place for this, too
    made = shared = SharedMetrics(folder)

    class AllocatedDict(mmap_dict.MmapedDict):
        def __init__(self, filename: str) -> None:
            super().__init__(made.allocate(filename))  # type: ignore[no-untyped-call]

    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    setattr(values, "MmapedDict", AllocatedDict)  # noqa: B010 # the files of MultiProcessValue
    values.ValueClass = values.MultiProcessValue(made.slot)  # type: ignore[no-untyped-call]


def _allocate(path: str) -> None:
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(file, 0, FILE_BYTES)
    except OSError:
        Path(path).unlink()
        raise
    finally:
        os.close(file)
