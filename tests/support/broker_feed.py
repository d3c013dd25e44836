"""A feed as Firstlight serves it to the Mosquitto plugin (deploy/mosquitto/plugin/FEED.md), in memory."""

import hashlib
import hmac
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SECRET = "a-secret-of-the-tests"
PROFILE = f"p 1 {uuid.NAMESPACE_OID.hex} Sensors plant/{{device_name}}/#\n"
BROKER = "11111111-2222-3333-4444-555555555555"


def digest(*parts: str, secret: str = SECRET) -> str:
    """Return a digest of the feed, 32 hex digits."""
    key = hmac.digest(secret.encode(), b"firstlight replica 1", "sha256")
    return hmac.digest(key, b"\0".join(part.encode() for part in parts), "sha256")[:16].hex()


@dataclass(frozen=True, slots=True)
class FeedDevice:
    """A device on the feed. Its credentials are an access token, MQTT basic, or the base64 body of a certificate."""

    name: str
    token: str = ""
    client_id: str = ""
    username: str = ""
    password: str = ""
    certificate: str = ""
    gateway: bool = False
    id: str = ""

    @property
    def key(self) -> str:
        return self.id or uuid.uuid5(uuid.NAMESPACE_OID, self.name).hex

    @property
    def lookup(self) -> str:
        if self.certificate:
            return digest("certificate", hashlib.sha3_256(self.certificate.encode()).hexdigest())
        if self.client_id:
            both = ("client id and username", self.client_id, self.username)
            return digest(*both) if self.username else digest("client id", self.client_id)
        return digest("username", self.token or self.username)

    @property
    def line(self) -> str:
        password = digest("password", self.key, self.password) if self.password else "-"
        return f"+ {self.key} {'g' if self.gateway else '-'} 1 {self.lookup} {password} {self.name}\n"


class FeedServer:
    """Serves snapshots and events; `stop` and `start` are an outage. `seen` has the ids that the plugin has reported."""

    def __init__(self) -> None:
        self.devices: dict[str, FeedDevice] = {}
        self.epoch = "epoch-1"
        self.events: list[str] = []
        self.seen: list[str] = []
        self.snapshots = 0
        self.unauthorized = 0
        self.cut_off = False
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"feed": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with self._changed:
            self._changed.notify_all()

    @property
    def is_up(self) -> bool:
        return self._server is not None

    def put(self, *devices: FeedDevice) -> None:
        with self._changed:
            for device in devices:
                self.devices[device.key] = device
                self.events.append(device.line)
            self._changed.notify_all()

    def remove(self, device: FeedDevice) -> None:
        with self._changed:
            del self.devices[device.key]
            self.events.append(f"- {device.key}\n")
            self._changed.notify_all()

    def restore(self, devices: Iterable[FeedDevice], epoch: str) -> None:
        """Act like a database restored from a backup: another epoch, and the changes are unknown."""
        with self._changed:
            self.devices = {device.key: device for device in devices}
            self.epoch, self.events = epoch, []
            self._changed.notify_all()

    def snapshot(self) -> list[str]:
        with self._changed:
            self.snapshots += 1
            lines = [device.line for device in self.devices.values()]
            cursor = str(len(self.events))
        return [f"firstlight 1 {self.epoch} {cursor} {len(lines)}\n", PROFILE, *lines, f"end {cursor}\n"]

    def changes(self, epoch: str, cursor: int, wait_s: float) -> list[str] | None:
        """Return lines, None when the position is not known."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news(epoch, cursor), wait_s)
            if epoch != self.epoch or cursor > len(self.events):
                return None
            return [PROFILE, *self.events[cursor:], f"end {len(self.events)}\n"]

    def _has_news(self, epoch: str, cursor: int) -> bool:
        return not self.is_up or epoch != self.epoch or cursor != len(self.events)


class _Handler(BaseHTTPRequestHandler):
    feed: FeedServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self._is_authorized():
            return
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == f"/api/brokers/{BROKER}/snapshot":
            lines = self.feed.snapshot()
            self._answer(200, lines[:-1] if self.feed.cut_off else lines)
        elif parts.path == f"/api/brokers/{BROKER}/events":
            found = self.feed.changes(query["epoch"], int(query["cursor"]), float(query["wait"]))
            self._answer(409 if found is None else 200, found or [])
        else:
            self._answer(404, [])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self._is_authorized():
            return
        self.feed.seen += body.splitlines()
        self._answer(204, [])

    def _is_authorized(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {SECRET}":
            return True
        self.feed.unauthorized += 1
        self._answer(403, [])
        return False

    def _answer(self, status: int, lines: list[str]) -> None:
        body = "".join(lines).encode()
        if not self.feed.is_up:  # the server is going down: no answer
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
