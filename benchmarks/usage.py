"""CPU time and memory of the processes of an installation."""

from dataclasses import dataclass

import psutil

from benchmarks.installation import Installation

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the start, and resident memory now in MiB, of one process with its children."""

    cpu_s: float
    memory_mib: float


def usage(installation: Installation) -> dict[str, Usage]:
    """Return the usage of each process by name, PostgreSQL among them."""
    roots = {name: server.process.pid for name, server in installation.servers.items()}
    roots["postgres"] = installation.postgres.pid
    return {name: _of(psutil.Process(pid)) for name, pid in roots.items()}


def _of(root: psutil.Process) -> Usage:
    cpu = memory = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
            memory += process.memory_info().rss / MIB
        except psutil.NoSuchProcess:
            continue
        cpu += times.user + times.system
    own = root.cpu_times()
    return Usage(cpu + own.children_user + own.children_system, memory)
