"""The embedded broker as a process, a bridge that echoes, and a bare socket for what no client library would send."""

import os
import socket
import struct
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.environment import DATABASE
from tests.support.processes import Server, free_port, listens, wait_for
from tests.support.shell import DjangoShell
from tests.support.web import ROOT, manage

BRIDGE_PASSWORD = "a-password-of-the-tests-own"


class EmbeddedBroker:
    """`manage.py mqtt_broker` on a free port with `environment` on top of this one, its files below `folder`, migrated."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self._shell: DjangoShell | None = None
        self.environment = os.environ | {
            "FIRSTLIGHT_DATA": str(folder / "data"),
            "DATABASE_URL": _own_database(folder),
            "MQTT_BRIDGE_PASSWORD": BRIDGE_PASSWORD,
            "MQTT_PORT": str(self.port),
            **environment,
        }
        folder.mkdir(parents=True, exist_ok=True)
        manage(self.environment, "migrate", "--verbosity", "0")
        self.server = Server([sys.executable, "manage.py", "mqtt_broker"], folder / "broker.log", env=self.environment, cwd=ROOT)
        wait_for(self._is_up, "the broker")

    def add_device(self, name: str, **basic: str) -> str:
        """Make a device and return its token; with client_id, username and password it has those instead."""
        return str(self.shell(_ADD_DEVICE, name=name, basic=basic))

    def telemetry(self) -> dict[str, dict[str, Any]]:
        """Return the latest values by key, by device name."""
        found: dict[str, dict[str, Any]] = self.shell(_TELEMETRY)
        return found

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the client attributes of a device."""
        found: dict[str, Any] = self.shell(_ATTRIBUTES, name=name)
        return found

    def shell(self, code: str, **values: Any) -> Any:
        """Return `result`, as `code` leaves it when it is run on the broker's database with `given`, the values."""
        if self._shell is None:
            self._shell = DjangoShell(self.environment)
        return self._shell.run(code, **values)

    def stop(self) -> int:
        """Stop the broker and return its exit code."""
        if self._shell:
            self._shell.close()
            self._shell = None
        return self.server.stop()

    def _is_up(self) -> bool:
        assert self.server.alive, self.server.output()
        return listens(self.port)


_ADD_DEVICE = """
from devices.credentials import MqttBasic
from devices.services import device_create
from profiles.models import DeviceProfile
profile, _ = DeviceProfile.objects.get_or_create(name="tests")
credentials = MqttBasic(**{"client_id": "", "username": "", "password": ""} | given["basic"]) if given["basic"] else None
result = device_create(name=given["name"], profile=profile, credentials=credentials).credentials.value
"""
_TELEMETRY = """
from devices.models import LatestTelemetry
result = {}
for row in LatestTelemetry.objects.select_related("device"):
    result.setdefault(row.device.name, {})[row.key] = row.value
"""
_ATTRIBUTES = """
from devices.models import DeviceAttribute
result = {row.key: row.value for row in DeviceAttribute.objects.filter(device__name=given["name"], scope="CLIENT_SCOPE")}
"""


def _own_database(folder: Path) -> str:
    """Return the URL of a new database: on the server of the tests' PostgreSQL where they run on one."""
    if DATABASE != "postgres":
        return f"sqlite:///{folder / 'broker.sqlite3'}"
    name = f"broker_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"


class RecordingClient(paho.Client):
    """A paho client; `got` holds the topics and bodies of its messages, `refused` the reasons of refused connects."""

    def __init__(self, **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, **options)
        self.got: list[tuple[str, bytes]] = []
        self.refused: list[Any] = []
        self.on_message = lambda _client, _userdata, message: self.got.append((message.topic, bytes(message.payload)))
        self.on_connect = lambda _client, _userdata, _flags, reason, _properties: (
            self.refused.append(reason) if reason.is_failure else None
        )


def client(port: int, *, client_id: str = "", username: str = "", password: str = "", **options: Any) -> RecordingClient:
    """Return a paho client, connected and its loop running."""
    options.setdefault("protocol", paho.MQTTv311)
    one = RecordingClient(client_id=client_id, **options)
    if username:
        one.username_pw_set(username, password or None)
    one.connect("127.0.0.1", port)
    one.loop_start()
    return one


def connected(port: int, **options: Any) -> RecordingClient:
    """Return a paho client that the broker has accepted."""
    one = client(port, **options)
    wait_for(lambda: one.is_connected() or one.refused, "CONNACK")
    assert not one.refused, one.refused
    return one


def gone(one: paho.Client) -> None:
    """Disconnect `one` in order."""
    one.disconnect()
    one.loop_stop()


def subscribed(one: paho.Client, topic: str, qos: int = 0) -> int:
    """Return the code with which the broker answers a SUBSCRIBE: the QoS granted, or 128 and more."""
    codes: list[int] = []
    one.on_subscribe = lambda _client, _userdata, _mid, reasons, _properties: codes.extend(reason.value for reason in reasons)
    one.subscribe(topic, qos)
    wait_for(lambda: codes, "SUBACK")
    return codes[0]


def unsubscribed(one: paho.Client, topic: str) -> None:
    """Unsubscribe, and wait until the broker has acknowledged it."""
    done: list[int] = []
    one.on_unsubscribe = lambda _client, _userdata, mid, _reasons, _properties: done.append(mid)
    one.unsubscribe(topic)
    wait_for(lambda: done, "UNSUBACK")


class EchoBridge:
    """A bridge that answers each request with what `answer` makes of it. With `hold`, it takes requests and says nothing."""

    def __init__(
        self,
        port: int,
        *,
        client_id: str = "bridge-of-the-tests",
        answer: Callable[[bytes], bytes] = lambda body: b"echo " + body,
        hold: bool = False,
        **options: Any,
    ) -> None:
        self.requests: list[tuple[str, bytes, bool]] = []
        self._answered = 0
        self._held: list[paho.MQTTMessage] = []
        self.answer, self.hold = answer, hold
        options.setdefault("clean_session", False)
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, manual_ack=True, **options)
        self.client.username_pw_set("bridge", BRIDGE_PASSWORD)
        self.client.on_connect = lambda client, *_: client.subscribe("/provision/request/+", qos=1)
        self.subscribed = False
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        wait_for(lambda: self.subscribed, "the bridge's SUBACK")

    def bodies(self) -> list[bytes]:
        return [body for _, body, _ in self.requests]

    def stop(self) -> None:
        """Disconnect once no message is in flight that the broker would deliver again."""
        wait_for(self._is_finished, "the bridge's last answer")
        gone(self.client)

    def vanish(self) -> None:
        """Lose the connection as if the cable was cut: no DISCONNECT, no coming back."""
        self.client.loop_stop()
        connection = self.client.socket()
        assert connection
        connection.close()

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed = True

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        self.requests.append((message.topic, bytes(message.payload), message.dup))
        if self.hold:
            self._held.append(message)
        else:
            self._reply(message)

    def _reply(self, message: paho.MQTTMessage) -> None:
        self.client.publish(message.topic.replace("request", "response", 1), self.answer(bytes(message.payload)), qos=1)
        self.client.ack(message.mid, message.qos)
        self._answered += 1

    def _is_finished(self) -> bool:
        """Answer what was held, unless it still is to be; return whether nothing is left."""
        while self._held and not self.hold:
            self._reply(self._held.pop(0))
        return self.hold or self._answered == len(self.requests)


class BareSocket:
    """A TCP connection to the broker, to send any bytes over."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, size: int) -> bytes:
        """Return `size` bytes, fewer when the broker closes the connection before."""
        data = b""
        while len(data) < size and (more := self._next(size - len(data))):
            data += more
        return data

    def is_closed(self) -> bool:
        """Return whether the broker closes the connection, after whatever else it sends."""
        while self._next(65_536):
            pass
        return True

    def close(self) -> None:
        self._socket.close()

    def _next(self, size: int) -> bytes:
        try:
            return self._socket.recv(size)
        except ConnectionResetError:
            return b""


def connect_packet(
    *,
    client_id: str | bytes = "",
    username: str | None = None,
    password: str | bytes | None = None,
    will: tuple[str, bytes] | None = None,
    level: int = 4,
    clean: bool = True,
) -> bytes:
    """Return a CONNECT of MQTT 3.1 (level 3), 3.1.1 or 5, the last without properties."""
    none = b"\0" if level == 5 else b""
    flags = (
        (0x02 if clean else 0)
        | (0x80 if username is not None else 0)
        | (0x40 if password is not None else 0)
        | (0x04 if will else 0)
    )
    name = text("MQIsdp") if level == 3 else text("MQTT")
    body = name + bytes((level, flags)) + struct.pack("!H", 60) + none + text(client_id)
    if will:
        body += none + text(will[0]) + struct.pack("!H", len(will[1])) + will[1]
    body += b"".join(text(part) for part in (username, password) if part is not None)
    return packet(0x10, body)


def publish_packet(topic: str, body: bytes, *, packet_id: int = 0, level: int = 4) -> bytes:
    """Return a PUBLISH at QoS 0, at QoS 1 with a packet id; at level 5 without properties."""
    none = b"\0" if level == 5 else b""
    number = struct.pack("!H", packet_id) if packet_id else b""
    return packet(0x32 if packet_id else 0x30, text(topic) + number + none + body)


def packet(first: int, body: bytes) -> bytes:
    size, length = b"", len(body)
    while True:
        length, low = divmod(length, 128)
        size += bytes((low | (128 if length else 0),))
        if not length:
            return bytes((first,)) + size + body


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(data)) + data


CONNACK_ACCEPTED = b"\x20\x02\x00\x00"
CONNACK_BAD_VERSION = b"\x20\x02\x00\x01"
CONNACK_UNAVAILABLE = b"\x20\x02\x00\x03"
CONNACK_NOT_AUTHORIZED = b"\x20\x02\x00\x05"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
