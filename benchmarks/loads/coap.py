"""CoAP with a fixed number of requests outstanding, spoken by hand on one UDP socket: the client must not be what is measured."""

import json
import secrets
import socket
import time

from benchmarks.loads.outcome import Outcome
from benchmarks.loads.window import keep_outstanding

# RFC 7252 section 3: version 1, type CON (0), token of 4 bytes; code 0.02 POST; options Uri-Path (11).
_HEADER_CON = 0x44
_POST = 0x02
_PATH = b"".join(bytes([(11 << 4 if first else 0) | len(part)]) + part for first, part in ((True, b"api"), (False, b"v1")))
_PATH += bytes([len(b"provision")]) + b"provision"
_CREATED = 0x41
RESEND_S = 2.0


def run(*, port: int, outstanding: int, seconds: float, names: str, key: str, secret: str, limit: int | None = None) -> Outcome:
    """Return what came back in `seconds`; at most `limit` requests. Lost datagrams are sent again (RFC 7252 section 4.2)."""
    client = _Client(port, names, key, secret)
    return keep_outstanding(client, window=outstanding, seconds=seconds, limit=limit)


class _Client:
    def __init__(self, port: int, names: str, key: str, secret: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(0.05)
        self._names = names
        self._credentials = {"provisionDeviceKey": key, "provisionDeviceSecret": secret}
        self._message_id = secrets.randbelow(0x10000)
        self.waiting: dict[bytes, tuple[float, bytes, float]] = {}
        self._done: set[bytes] = set()
        self.latencies: list[float] = []
        self.sent = self.answered = self.refused = self.duplicated = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            self._send_one()

    def receive(self) -> None:
        try:
            self._take(self._socket.recv(65536))
        except TimeoutError:
            self._send_again(time.perf_counter())

    def close(self) -> None:
        self._socket.close()

    def _send_one(self) -> None:
        token = self.sent.to_bytes(4, "big")
        self._message_id = (self._message_id + 1) & 0xFFFF
        body = json.dumps(self._credentials | {"deviceName": f"{self._names}-{self.sent}"}).encode()
        datagram = bytes([_HEADER_CON, _POST]) + self._message_id.to_bytes(2, "big") + token + _PATH + b"\xff" + body
        self._socket.send(datagram)
        now = time.perf_counter()
        self.waiting[token] = (now, datagram, now)
        self.sent += 1

    def _send_again(self, now: float) -> None:
        for token, (first, request, last) in self.waiting.items():
            if now - last > RESEND_S:
                self._socket.send(request)
                self.waiting[token] = (first, request, now)

    def _take(self, datagram: bytes) -> None:
        kind, code = datagram[0] >> 4 & 3, datagram[1]
        if code == 0:  # an empty acknowledgement: the answer comes by itself
            return
        if kind == 0:  # a separate answer wants to be acknowledged (RFC 7252 section 5.2.2)
            self._socket.send(b"\x60\x00" + datagram[2:4])
        token = datagram[4 : 4 + (datagram[0] & 0x0F)]
        sent = self.waiting.pop(token, None)
        if sent is None:
            self.duplicated += token in self._done and kind != 0
            return
        self._done.add(token)
        self.latencies.append(time.perf_counter() - sent[0])
        if code == _CREATED:
            self.answered += 1
        else:
            self.refused += 1
