"""Starting real servers on free ports, waiting for them, stopping them."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

WAIT_S = 30.0
POLL_S = 0.05


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lasting_port() -> int:
    """Return a free port for a server that is restarted while clients look for it.

    It is outside of the range from which Linux takes the ports of clients: else one of them may get this very port
    while the server is down, even be connected to itself, and the server cannot have it back.
    """
    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, first_of_clients)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Return as soon as `condition()` is true. Fails after `timeout_s`, naming `what`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(POLL_S)


def listens(port: int) -> bool:
    """Return whether somebody accepts TCP connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def program(name: str, package: str, *folders: str) -> str:
    """Return the path of a program. Fails with the command that installs it."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *folders]))
    assert path, f"{name} is missing; install it with: apt-get install {package}"
    return path


def as_plain_user(command: Sequence[str], folder: Path) -> list[str]:
    """Return `command` to be run by a user other than root, who owns `folder`: some servers refuse to run as root."""
    if os.geteuid() != 0:
        return list(command)
    user = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    # pytest's own folders, one more of them under xdist, are closed to all users but root.
    for parent in folder.parents:
        if parent.owner() == "root" and parent.is_relative_to(tempfile.gettempdir()) and not parent.stat().st_mode & 0o001:
            parent.chmod(0o711)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command]


class Server:
    """One server process, its output in a file, stopped with everything it started."""

    def __init__(self, command: Sequence[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, sig: int = signal.SIGTERM, timeout_s: float = 20) -> int:
        """Send `sig` and return the exit code; whatever is left of its process group is killed."""
        if self.alive:
            self.process.send_signal(sig)
        try:
            return self.process.wait(timeout_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process and all that it started, at once (SIGKILL)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
