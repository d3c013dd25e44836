"""The ways in, as devices use them, thousands at a time in one event loop: HTTP, CoAP and MQTT, spoken by hand.

`ask` returns one Answer. It raises OSError when the connection breaks or there is none; how long to wait is the caller's
business (asyncio.timeout).
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

from aiocoap import ACK, CON, POST, Message
from aiocoap.numbers.codes import EMPTY

from tests.support.mqtt import connect_packet, packet, publish_packet, text

COAP_RESEND_S = 2.0
# The web server closes a connection that has been idle for 60 s.
HTTP_IDLE_S = 5.0
_CONNACK, _PUBLISH, _SUBACK = 2, 3, 9


@dataclass(frozen=True, slots=True)
class Answer:
    """`code` in the words of the transport; `wait_s` from Retry-After or Max-Age, None without."""

    code: str
    fields: dict[str, Any] = field(repr=False)
    wait_s: int | None = None

    @property
    def status(self) -> str:
        return str(self.fields["status"])


class Source(Protocol):
    name: str

    async def ask(self, device: str, body: bytes) -> Answer: ...


class HttpSource:
    """Connections are kept alive and used again, but not when the server may be about to close them."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self._port = name, port
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, device: str, body: bytes) -> Answer:
        reader, writer = await self._connection()
        try:
            head = b"POST /api/v1/provision HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
            writer.write(head + body)
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            fields = json.loads(await reader.readexactly(int(headers["content-length"])))
        except BaseException as err:
            writer.close()
            if isinstance(err, EOFError):
                raise ConnectionResetError from err
            raise
        self._idle.append((time.monotonic(), reader, writer))
        return Answer(first.split(" ")[1], fields, int(headers["retry-after"]) if "retry-after" in headers else None)

    def close(self) -> None:
        for *_, writer in self._idle:
            writer.close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < HTTP_IDLE_S and not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)


class CoapSource(asyncio.DatagramProtocol):
    """One socket. A request is sent again, the same, until its answer comes (RFC 7252 section 4.2)."""

    transport: asyncio.DatagramTransport

    def __init__(self, name: str) -> None:
        self.name = name
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, asyncio.Future[Answer]] = {}

    async def ask(self, device: str, body: bytes) -> Answer:
        number = next(self._numbers)
        request = Message(code=POST, uri_path=("api", "v1", "provision"), payload=body)
        request.mtype, request.mid, request.token = CON, number & 0xFFFF, number.to_bytes(4)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request.token] = answer
        try:
            while not answer.done():
                self.transport.sendto(request.encode())
                await asyncio.wait([answer], timeout=COAP_RESEND_S)
            return answer.result()
        finally:
            del self._waiting[request.token]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _address: Any) -> None:
        message = Message.decode(data)
        if message.mtype is CON:
            acknowledgement = Message(code=EMPTY)
            acknowledgement.mtype, acknowledgement.mid = ACK, message.mid
            self.transport.sendto(acknowledgement.encode())
        waiting = self._waiting.get(message.token)
        if waiting and not waiting.done() and message.code.is_response():
            waiting.set_result(Answer(message.code.dotted, json.loads(message.payload), message.opt.max_age))

    def error_received(self, _err: Exception) -> None:
        """The server is unavailable; the request will be sent again."""


class MqttSource:
    """Each device has a connection of its own under its name, subscribes to its own topic, and publishes at QoS 1."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self._port = name, port

    async def ask(self, device: str, body: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(connect_packet(client_id=device, username="provision"))
            await self._next(reader, _CONNACK)
            writer.write(packet(0x82, b"\0\1" + text(f"/provision/response/{device}") + b"\1"))
            await self._next(reader, _SUBACK)
            writer.write(publish_packet(f"/provision/request/{device}", body, packet_id=1))
            heard = await self._next(reader, _PUBLISH)
            topic_end = 2 + int.from_bytes(heard[:2])
            writer.write(packet(0x40, heard[topic_end : topic_end + 2]) + packet(0xE0, b""))
            return Answer("PUBLISH", json.loads(heard[topic_end + 2 :]))
        except EOFError as err:
            raise ConnectionResetError from err
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader, kind: int) -> bytes:
        """Return what follows the fixed header of the next packet of `kind`; others are passed over."""
        while True:
            first = (await reader.readexactly(1))[0]
            length = shift = 0
            more = True
            while more:
                digit = (await reader.readexactly(1))[0]
                length |= (digit & 0x7F) << shift
                shift, more = shift + 7, bool(digit & 0x80)
            rest = await reader.readexactly(length)
            if first >> 4 == kind:
                return rest


@dataclass(frozen=True, slots=True)
class Ports:
    """Where an installation is to be reached: web servers, CoAP servers, and the broker behind which are all bridges."""

    http: Sequence[int]
    coap: Sequence[int]
    mqtt: int


@asynccontextmanager
async def sources_at(ports: Ports) -> AsyncIterator[list[Source]]:
    """All ways in: web1, web2, …, coap1, …, mqtt."""
    loop = asyncio.get_running_loop()
    webs = [HttpSource(f"web{number}", port) for number, port in enumerate(ports.http, start=1)]
    coaps = []
    for number, port in enumerate(ports.coap, start=1):
        _, source = await loop.create_datagram_endpoint(partial(CoapSource, f"coap{number}"), remote_addr=("127.0.0.1", port))
        coaps.append(source)
    try:
        yield [*webs, *coaps, MqttSource("mqtt", ports.mqtt)]
    finally:
        for web in webs:
            web.close()
        for coap in coaps:
            coap.transport.close()
