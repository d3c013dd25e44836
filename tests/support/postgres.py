"""A PostgreSQL server for tests."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import Server, as_plain_user, lasting_port, program, wait_for

BIN = "/usr/lib/postgresql/15/bin"


class Postgres:
    """PostgreSQL on a free port of 127.0.0.1, all its files below `folder`, durable as in production."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = lasting_port()
        self._server: Server | None = None

    def start(self) -> None:
        """Make the cluster when there is none, start it, and return once it answers."""
        data = self.folder / "data"
        if not data.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            initdb = [program("initdb", "postgresql", BIN), "-D", str(data), "-U", "firstlight", "-A", "trust", "-E", "UTF8"]
            subprocess.run(as_plain_user(initdb, self.folder), check=True, capture_output=True, cwd=self.folder)
        command = [
            program("postgres", "postgresql", BIN),
            *("-D", str(data), "-p", str(self.port), "-k", str(self.folder)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
        ]
        self._server = Server(as_plain_user(command, self.folder), self.folder / "log", cwd=self.folder)
        wait_for(self.is_up, "PostgreSQL")
        existing = self.psql("postgres", "SELECT 1 FROM pg_database WHERE datname = 'firstlight'")
        if not existing:
            self.psql("postgres", "CREATE DATABASE firstlight")

    def stop(self) -> None:
        """Stop the server, fast: open connections are cut. The data stays."""
        if self._server:
            self._server.stop(signal.SIGINT)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._server
        return self._server.process.pid

    def url(self, database: str) -> str:
        return f"postgres://firstlight@127.0.0.1:{self.port}/{database}"

    def is_up(self) -> bool:
        assert self._server, "PostgreSQL was not started"
        assert self._server.alive, f"PostgreSQL ended:\n{self._server.output()[-2000:]}"
        ready = program("pg_isready", "postgresql", BIN)
        return subprocess.run([ready, "-h", "127.0.0.1", "-p", str(self.port)], capture_output=True, check=False).returncode == 0

    def psql(self, database: str, sql: str) -> str:
        """Return what `sql` prints, unaligned and without headers."""
        command = [program("psql", "postgresql", BIN), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A running PostgreSQL for one test, with an empty database `firstlight`; stopped and removed afterwards.

    Not below pytest's tmp_path: that is closed to the user that PostgreSQL runs as.
    """
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=os.environ["FIRSTLIGHT_TEST_FOLDER"]))
    folder.chmod(0o755)
    server = Postgres(folder / "server")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
