"""The whole product, started as `make run` starts it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.support.postgres import own_postgres
from tests.support.processes import Server, free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
STOP_S = 15.0
KEEPER = (b"/bin/sh\0deploy/keep\0", b"sleep\0")


class Stack:
    """All processes of the Procfile, or those named, on free ports, with a data folder of their own.

    `folder` keeps the data and the output; a second start of the same Stack goes on with the same data and ports.
    `settings` are further environment variables, e.g. DATABASE_URL.
    """

    def __init__(self, folder: Path, *processes: str, **settings: str) -> None:
        self.folder = folder
        self.http_port, self.mqtt_port, self.coap_port = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
        self.greeting = ""
        self._processes = processes
        self._server: Server | None = None
        self.environment = os.environ | {
            "FIRSTLIGHT_DATA": str(folder / "data"),
            "HTTP_PORT": str(self.http_port),
            "MQTT_PORT": str(self.mqtt_port),
            "COAP_PORT": str(self.coap_port),
        }
        # The tests' own database is not this installation's.
        self.environment.pop("DATABASE_URL", None)
        self.environment |= settings

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def server(self) -> Server:
        assert self._server, "the stack was not started"
        return self._server

    def start(self) -> None:
        """Set up, start, and return once everything (or each process named) is ready."""
        self.greeting = self.manage("first_run")
        command = [sys.executable, "deploy/start.py", *self._processes]
        self._server = Server(command, self.folder / "output", env=self.environment, cwd=ROOT)
        self.wait_until_ready()

    def wait_until_ready(self, timeout_s: float = START_S) -> None:
        try:
            wait_for(self._is_up, "the stack", timeout_s)
        except AssertionError as err:
            self.close()
            raise AssertionError(f"{err}\n{self.server.output()[-4000:]}") from None

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Stop everything as Ctrl-C or `kill` does, and return the exit code. Fails when that takes too long."""
        return self.server.stop(sig, STOP_S)

    def close(self) -> None:
        """Leave no process behind, whatever state the stack is in."""
        if not self._server:
            return
        pids = self._members()
        if self._server.alive:
            self._server.process.send_signal(signal.SIGTERM)
            try:
                self._server.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                pids |= self._members()
        self._server.kill()
        for pid in pids:
            _send(pid, signal.SIGKILL)

    def kill(self, name: str, sig: int = signal.SIGKILL) -> list[int]:
        """Send `sig` to every operating system process of the Procfile's `name`, but not to what restarts it.

        Returns their ids.
        """
        pids = self.pids(name)
        assert pids, f"{name} does not run"
        for pid in pids:
            _send(pid, sig)
        return pids

    def pids(self, name: str) -> list[int]:
        """Return the ids of the operating system processes that `name` consists of, without `deploy/keep` and its pause."""
        starts = re.findall(rf"{name} started \(pid=(\d+)\)", self.server.output())
        return [pid for pid in process_group(int(starts[-1])) if not _command(pid).startswith(KEEPER)] if starts else []

    def readyz(self) -> dict[str, str]:
        """Return the state of each process, as /readyz reports it; empty without an answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                body = answer.read()
        except urllib.error.HTTPError as err:
            body = err.read()
        except OSError:
            return {}
        states: dict[str, str] = json.loads(body)["processes"]
        return states

    def beats(self, name: str) -> set[int]:
        """Return the ids of the processes that have a heartbeat that says ready."""
        code = (
            "from operations.models import Heartbeat;"
            f"print(*Heartbeat.objects.filter(process='{name}', ready=True).values_list('instance', flat=True))"
        )
        return {int(re.findall(r":(\d+)-", instance)[0]) for instance in self.manage("shell", "-v0", "-c", code).split()}

    def create_profile(self, name: str, strategy: str = "ALLOW_CREATE_NEW_DEVICES", *more: str) -> dict[str, str]:
        """Return id, key and secret of a new profile."""
        made: dict[str, str] = json.loads(
            self.manage("create_profile", name, "--strategy", strategy, "--json", *more).splitlines()[-1]
        )
        return made

    def provision(self, profile: dict[str, str], **fields: Any) -> dict[str, Any]:
        """Return the JSON answer to a provisioning request over HTTP."""
        body = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]} | fields
        request = urllib.request.Request(f"{self.url}/api/v1/provision", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            reply: dict[str, Any] = json.load(answer)
        return reply

    def manage(self, *arguments: str) -> str:
        """Return what `manage.py` with `arguments` prints on this installation."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"manage.py {arguments[0]}: {done.stderr[-2000:]}"
        return done.stdout

    def _is_up(self) -> bool:
        assert self.server.alive, f"honcho ended:\n{self.server.output()[-4000:]}"
        states = self.readyz()
        wanted = set(self._processes) & set(states) or set(states)
        return bool(states) and all(states[name] == "ready" for name in wanted)

    def _members(self) -> set[int]:
        leaders = {int(pid) for pid in re.findall(r"started \(pid=(\d+)\)", self.server.output())}
        return {pid for leader in leaders for pid in process_group(leader)}


def process_group(leader: int) -> list[int]:
    """Return the ids of the processes in the process group of `leader`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) == leader:
                found.append(int(entry.name))
        except ProcessLookupError:
            continue
    return sorted(found)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _send(pid: int, sig: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


@contextlib.contextmanager
def stack_on(engine: str, folder: Path, *processes: str) -> Iterator[Stack]:
    """Run a Stack on the database `engine`: "sqlite", or "postgres" for a PostgreSQL of its own."""
    with contextlib.ExitStack() as cleanup:
        settings = {} if engine == "sqlite" else {"DATABASE_URL": cleanup.enter_context(own_postgres()).url("firstlight")}
        yield cleanup.enter_context(Stack(folder, *processes, **settings))
