"""MQTT 3.1.1 at QoS 1 with a fixed window, spoken by hand on one socket: the client must not be what is measured."""

import json
import socket
import time

from benchmarks.loads.outcome import Outcome
from benchmarks.loads.window import keep_outstanding

CLIENT_ID = "load"
_PUBLISH = 3
_SUBACK = 9


def run(*, port: int, window: int, seconds: float, names: str, key: str, secret: str, limit: int | None = None) -> Outcome:
    """Return what came back in `seconds`; at most `limit` requests."""
    return keep_outstanding(_Client(port, names, key, secret), window=window, seconds=seconds, limit=limit)


class _Client:
    def __init__(self, port: int, names: str, key: str, secret: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(0.05)
        self._buffer = bytearray()
        self._names = names
        self._credentials = {"provisionDeviceKey": key, "provisionDeviceSecret": secret}
        self.waiting: dict[str, float] = {}
        self.latencies: list[float] = []
        self.sent = self.answered = self.refused = self.duplicated = 0
        self._connect()

    def _connect(self) -> None:
        # MQTT 3.1.1 section 3.1: clean session, user name `provision`, keep alive 0.
        self._socket.sendall(_packet(0x10, _text("MQTT") + b"\x04\x82\x00\x00" + _text(CLIENT_ID) + _text("provision")))
        topic = _text(f"/provision/response/{CLIENT_ID}")
        self._socket.sendall(_packet(0x82, b"\x00\x01" + topic + b"\x01"))
        deadline = time.perf_counter() + 10
        seen = []
        while _SUBACK not in seen:
            assert time.perf_counter() < deadline, "no SUBACK"
            seen += [kind for kind, _, _ in self._packets()]

    def send(self, count: int) -> None:
        out = bytearray()
        for _ in range(count):
            name = f"{self._names}-{self.sent}"
            packet_id = self.sent % 0xFFFF + 1
            body = json.dumps(self._credentials | {"deviceName": name}).encode()
            out += _packet(0x32, _text(f"/provision/request/{CLIENT_ID}") + packet_id.to_bytes(2, "big") + body)
            self.waiting[name] = time.perf_counter()
            self.sent += 1
        if out:
            self._socket.settimeout(10)
            self._socket.sendall(out)
            self._socket.settimeout(0.05)

    def receive(self) -> None:
        acknowledgements = bytearray()
        for kind, flags, packet in self._packets():
            if kind != _PUBLISH:
                continue
            topic_length = int.from_bytes(packet[:2], "big")
            start = 2 + topic_length
            if flags & 0x06:
                acknowledgements += b"\x40\x02" + packet[start : start + 2]
                start += 2
            self._take(json.loads(packet[start:]))
        if acknowledgements:
            self._socket.sendall(acknowledgements)

    def close(self) -> None:
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()

    def _take(self, reply: dict[str, str]) -> None:
        if not reply.get("credentialsValue"):
            self.refused += 1
            return
        # Replies over MQTT have no room for the name, and preloaded devices share a token. Replies come in the order of the
        # requests, but for those of one batch; one more than there were requests is a duplicate.
        if not self.waiting:
            self.duplicated += 1
            return
        sent_at = self.waiting.pop(next(iter(self.waiting)))
        self.latencies.append(time.perf_counter() - sent_at)
        self.answered += 1

    def _packets(self) -> list[tuple[int, int, bytes]]:
        """Return the packets that have come, each as type, flags and what follows the fixed header."""
        try:
            received = self._socket.recv(1 << 20)
            assert received, "the broker closed the connection"
            self._buffer += received
        except TimeoutError:
            return []
        packets = []
        position = 0
        while (parsed := _parse(self._buffer, position)) is not None:
            kind, flags, packet, position = parsed
            packets.append((kind, flags, packet))
        del self._buffer[:position]
        return packets


def _parse(buffer: bytearray, position: int) -> tuple[int, int, bytes, int] | None:
    length = shift = 0
    index = position + 1
    while True:
        if index >= len(buffer):
            return None
        length |= (buffer[index] & 0x7F) << shift
        shift += 7
        index += 1
        if not buffer[index - 1] & 0x80:
            break
    if index + length > len(buffer):
        return None
    return buffer[position] >> 4, buffer[position] & 0x0F, bytes(buffer[index : index + length]), index + length


def _packet(first: int, rest: bytes) -> bytes:
    length = bytearray()
    remaining = len(rest)
    while True:
        remaining, digit = divmod(remaining, 128)
        length.append(digit | (0x80 if remaining else 0))
        if not remaining:
            return bytes([first]) + bytes(length) + rest


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()
