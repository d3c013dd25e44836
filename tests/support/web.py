"""A web server as in production, with worker processes and threads, on a free port."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import Server, free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Return what `manage.py` with `arguments` prints. Fails when it fails."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def create_profile(environment: dict[str, str], name: str, strategy: str = "ALLOW_CREATE_NEW_DEVICES") -> dict[str, str]:
    """Return id, key and secret of a new profile."""
    made: dict[str, str] = json.loads(
        manage(environment, "create_profile", name, "--strategy", strategy, "--json").splitlines()[-1]
    )
    return made


class Web:
    """`manage.py http_server` with `environment` on top of this one, its files below `folder`, migrated."""

    def __init__(self, folder: Path, *, workers: int = 1, **environment: str) -> None:
        self.port = free_port()
        self.environment = os.environ | {
            "FIRSTLIGHT_DATA": str(folder / "data"),
            "DATABASE_URL": f"sqlite:///{folder / 'web.sqlite3'}",
            "HTTP_PORT": str(self.port),
            "HTTP_WORKERS": str(workers),
            **environment,
        }
        folder.mkdir(parents=True, exist_ok=True)
        manage(self.environment, "migrate", "--verbosity", "0")
        self._log = folder / "web.log"
        self.start()

    def start(self, *prefix: str) -> None:
        """Start the server, or start it again; `prefix` is a command that runs it, such as `prlimit …`."""
        command = [*prefix, sys.executable, "manage.py", "http_server"]
        self._log.unlink(missing_ok=True)
        self.server = Server(command, self._log, env=self.environment, cwd=ROOT)
        wait_for(self._is_up, "the web server")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Return the answer to a GET of `path`, or a POST of `body`."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as got:
                return Answer(got.status, dict(got.headers), got.read())
        except urllib.error.HTTPError as err:
            with err:
                return Answer(err.code, dict(err.headers), err.read())

    def provision(self, **fields: object) -> Answer:
        return self.request("/api/v1/provision", json.dumps(fields).encode())

    def _is_up(self) -> bool:
        assert self.server.alive, self.server.output()
        try:
            return self.request("/healthz").status == 200
        except OSError:
            return False
