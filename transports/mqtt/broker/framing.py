"""amqtt's way to the socket, with what it lacks: limits on what a client may send and leave unread, and MQTT 5."""

import asyncio

from amqtt.adapters import ReaderAdapter, StreamWriterAdapter
from amqtt.errors import MQTTError
from amqtt.mqtt.packet import CONNECT
from django.conf import settings

from transports.mqtt.broker import mqtt5
from transports.mqtt.broker.tls import PEER_CERTIFICATE

# The largest packet: the largest request, its topic and its header.
MAX_PACKET_BYTES = settings.MAX_REQUEST_BYTES + 1024
# A client that leaves this much unread is cut off.
MAX_UNREAD_BYTES = 1024 * 1024
# How long a closed connection may take to read the rest.
LINGER_S = 3.0

_NAMES_AND_LEVELS = {b"\0\4MQTT\5": 5, b"\0\4MQTT\4": 4, b"\0\6MQIsdp\3": 3}


class PacketTooLarge(MQTTError):
    """The header announces more than MAX_PACKET_BYTES. Nothing of it was read."""


class UnacceptableProtocol(MQTTError):
    """A CONNECT of a protocol other than MQTT 3.1, 3.1.1 and 5."""


class PacketReader(ReaderAdapter):
    """Reads whole packets, and serves amqtt's decoders the bytes of one at a time, in the form of MQTT 3.1.1."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        # The body of the packet at hand.
        self.body = b""
        self._packet = b""
        self._at = 0
        # The protocol level of the CONNECT: 3, 4 (3.1.1) or 5; 0 until it has been read.
        self.level = 0
        # What the packet at hand carried that 3.1.1 has no place for.
        self.properties = mqtt5.NONE

    async def next_packet(self) -> None:
        """Take in the next packet. Raises MQTTError, ConnectionError, or IncompleteReadError at the end of the stream."""
        (first,) = await self._reader.readexactly(1)
        if (first >> 4 == CONNECT) != (self.level == 0):
            raise MQTTError("CONNECT must be the first packet, and only the first [MQTT-3.1.0-1] [MQTT-3.1.0-2]")
        length = await self._length()
        if length > MAX_PACKET_BYTES:
            raise PacketTooLarge(f"A packet of {length} bytes")
        body = await self._reader.readexactly(length)
        if not self.level:
            body = self._first(body)
        self.properties = mqtt5.NONE
        if self.level == 5:
            body, self.properties = mqtt5.incoming(first >> 4, first & 0x0F, body)
        self.body = body
        size = mqtt5.varint_bytes(len(body))
        self._packet, self._at = bytes((first,)) + size + body, 0

    async def read(self, n: int = -1) -> bytes:
        """Return up to `n` bytes of the current packet; fewer mean to the decoder that it is truncated."""
        end = len(self._packet) if n < 0 else self._at + n
        chunk = self._packet[self._at : end]
        self._at += len(chunk)
        return chunk

    def check_read(self) -> None:
        """Raise MQTTError when the decoder left something of the packet: its length was a lie."""
        if self._at != len(self._packet):
            raise MQTTError("A packet is longer than what it holds")

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    async def _length(self) -> int:
        """Return the remaining length, MQTT 3.1.1 section 2.2.3."""
        value = 0
        for shift in (0, 7, 14, 21):
            (byte,) = await self._reader.readexactly(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise MQTTError("A remaining length of more than four bytes")

    def _first(self, body: bytes) -> bytes:
        """Note the protocol of a CONNECT and return its body; MQTT 3.1 differs from 3.1.1 in its name only."""
        name = next((name for name in _NAMES_AND_LEVELS if body.startswith(name)), None)
        if name is None:
            raise UnacceptableProtocol("Neither MQTT 3.1 nor 3.1.1 nor 5")
        self.level = _NAMES_AND_LEVELS[name]
        return b"\0\4MQTT\4" + body[len(name) :] if self.level == 3 else body


class PacketWriter(StreamWriterAdapter):
    """Writes whole packets in the form that the client speaks. It never waits for a client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self.is_closed: bool = False
        self._transport = writer.transport
        self.speaks_5 = False
        # The client certificate of a TLS connection in DER form, empty without one.
        self.peer_certificate: bytes = writer.get_extra_info(PEER_CERTIFICATE) or b""

    def write(self, data: bytes) -> None:
        """Send `data`, one whole packet in the form of 3.1.1."""
        self.send(data)

    def send(self, packet: bytes, properties: bytes = b"") -> None:
        """Send `packet`, in the form of 3.1.1; with `properties` to a client that speaks MQTT 5."""
        self.send_raw(mqtt5.outgoing(packet, properties) if self.speaks_5 else packet)

    def send_message(self, packet: bytes, properties: bytes, max_bytes: int) -> bool:
        """Send a PUBLISH as `send` does; return False if it is larger than the client accepts [MQTT-3.1.2-24]."""
        whole = mqtt5.outgoing(packet, properties) if self.speaks_5 else packet
        if len(whole) > max_bytes:
            return False
        self.send_raw(whole)
        return True

    def send_raw(self, packet: bytes) -> None:
        """Send `packet` as it is. Cuts off a client that has left too much unread."""
        if self.is_closed:
            return
        self._transport.write(packet)
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.is_closed = True
            self._transport.abort()

    async def drain(self) -> None:
        """Return at once: `send_raw` has looked after a client that does not read."""

    async def close(self) -> None:
        self.end()

    def end(self, reason: int = mqtt5.SUCCESS) -> None:
        """Close the connection; what was written is still sent. An MQTT 5 client also gets `reason`."""
        if self.is_closed:
            return
        if reason and self.speaks_5:
            self.send_raw(mqtt5.disconnect(reason))
        self.is_closed = True
        self._transport.close()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)
