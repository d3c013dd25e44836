"""A CoAP server of ours as a process, and peers that talk to it."""

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psycopg
from aiocoap import POST, Code, Message
from aiocoap.numbers.types import CON, Type

from tests.support.environment import DATABASE
from tests.support.postgres import Postgres
from tests.support.processes import Server, free_port, program, wait_for

ROOT = Path(__file__).resolve().parents[3]
PROVISION = ("api", "v1", "provision")
ANSWER_TIMEOUT_S = 15.0


class CoapService:
    """`manage.py coap_server` on a free port, with a database of its own."""

    def __init__(self, host: str = "127.0.0.1", *, postgres: bool = DATABASE == "postgres", **variables: str) -> None:
        # Not one of pytest's, which only its own user may enter: PostgreSQL runs as another.
        folder = Path(tempfile.mkdtemp(prefix="firstlight-coap-"))
        folder.chmod(0o755)
        self.folder = folder
        self.host = host
        self.port = free_port(socket.SOCK_DGRAM)
        self.postgres = Postgres(folder / "postgres") if postgres else None
        database = self.postgres.url("firstlight") if self.postgres else f"sqlite:///{folder / 'firstlight.sqlite3'}"
        own = {
            "FIRSTLIGHT_DATA": str(folder / "data"),
            "DATABASE_URL": database,
            "COAP_HOST": host,
            "COAP_PORT": str(self.port),
            # All peers of the tests have one address.
            "GUESSES_PER_SOURCE": "1000000",
        }
        self.environment = os.environ | own | variables
        self.server: Server | None = None

    def prepare(self) -> None:
        """Make the database."""
        if self.postgres:
            self.postgres.start()
        self.manage("migrate", "--verbosity", "0")

    def start(self) -> None:
        """Start the server, and return once it answers."""
        command = [sys.executable, "manage.py", "coap_server"]
        self.server = Server(command, self.folder / "log", env=self.environment, cwd=ROOT)
        wait_for(lambda: "is listening" in self.server.output() or not self.server.alive, "the CoAP server")
        assert self.server.alive, self.server.output()

    def close(self) -> None:
        if self.server:
            self.server.kill()
        if self.postgres:
            self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def manage(self, *arguments: str) -> str:
        """Return what `manage.py` with `arguments` prints."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, env=self.environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    def create_profile(self, name: str, strategy: str = "ALLOW_CREATE_NEW_DEVICES") -> dict[str, str]:
        """Return the fields by which a request selects a new profile."""
        made = json.loads(self.manage("create_profile", name, "--strategy", strategy, "--json").splitlines()[-1])
        return {"provisionDeviceKey": made["key"], "provisionDeviceSecret": made["secret"]}

    def rows(self, sql: str) -> list[str]:
        """Return what `sql` selects, a line a row, columns parted by |."""
        if self.postgres:
            return self.postgres.psql("firstlight", sql).splitlines()
        with contextlib.closing(sqlite3.connect(self.folder / "firstlight.sqlite3", timeout=20)) as database:
            return ["|".join(str(value) for value in row) for row in database.execute(sql).fetchall()]

    def devices(self, name: str) -> int:
        """Return how many devices have `name`."""
        return int(self.rows(f"SELECT count(*) FROM devices_device WHERE name = '{name}'")[0])

    @contextlib.contextmanager
    def database_locked(self) -> Iterator[None]:
        """No other process can write meanwhile."""
        if self.postgres:
            with psycopg.connect(self.postgres.url("firstlight")) as database:
                database.execute("LOCK TABLE devices_device IN ACCESS EXCLUSIVE MODE")
                yield
            return
        with contextlib.closing(sqlite3.connect(self.folder / "firstlight.sqlite3", timeout=20)) as database:
            database.isolation_level = None
            database.execute("BEGIN IMMEDIATE")
            yield

    def coap_client(self, *arguments: str, path: str = "/api/v1/provision", payload: bytes = b"") -> tuple[str, bytes]:
        """Return what libcoap's client says of its messages, and the payload of the answer."""
        output = self.start_coap_client(*arguments, path=path, payload=payload).communicate(timeout=60)[0].decode()
        return output, (self.folder / "answer").read_bytes()

    def start_coap_client(
        self, *arguments: str, path: str = "/api/v1/provision", payload: bytes = b""
    ) -> subprocess.Popen[bytes]:
        body = self.folder / "body"
        body.write_bytes(payload)
        answer = self.folder / "answer"
        answer.write_bytes(b"")
        client = program("coap-client-notls", "libcoap3-bin")
        host = f"[{self.host}]" if ":" in self.host else self.host
        options = ["-v", "7", "-B", "20", "-m", "post", "-f", str(body), "-o", str(answer)]
        command = [client, *options, *arguments, f"coap://{host}:{self.port}{path}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class Peer:
    """A bare UDP socket that speaks to one CoAP server."""

    def __init__(self, service: CoapService) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in service.host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((service.host, service.port))
        self.socket.settimeout(ANSWER_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, datagram: bytes) -> None:
        self.socket.send(datagram)

    def receive(self) -> Message:
        return Message.decode(self.socket.recv(65_535))

    def acknowledge(self, message: Message) -> None:
        """Acknowledge a confirmable message, without which its sender sends nothing else (RFC 7252 section 4.7)."""
        acknowledgement = Message(code=Code.EMPTY)
        acknowledgement.mtype, acknowledgement.mid, acknowledgement.token = Type.ACK, message.mid, b""
        self.send(acknowledgement.encode())

    def ask(self, datagram: bytes) -> Message:
        self.send(datagram)
        return self.receive()


def request(
    payload: bytes | dict[str, object] = b"",
    path: tuple[str, ...] = PROVISION,
    *,
    mid: int,
    mtype: Type = CON,
    code: Code = POST,
    token: bytes = b"",
    **options: object,
) -> bytes:
    """Return the datagram of a request."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    message = Message(
        code=code, payload=body, uri_path=path, _mtype=mtype, _mid=mid, _token=token or bytes([mid & 0xFF]), **options
    )
    return message.encode()
