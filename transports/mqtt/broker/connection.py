"""One connection, from its CONNACK on: packets in, packets out."""

import asyncio
import contextlib
import logging
import struct
import time

from amqtt.errors import CodecError, MQTTError
from amqtt.mqtt import packet_class
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.packet import DISCONNECT, PINGREQ, PUBACK, PUBREC, MQTTFixedHeader
from amqtt.mqtt.pingresp import PingRespPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.pubcomp import PubcompPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.pubrec import PubrecPacket
from amqtt.mqtt.pubrel import PubrelPacket
from amqtt.mqtt.suback import SubackPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsuback import UnsubackPacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket

from transports.metrics import REFUSED_MESSAGES
from transports.mqtt.broker import mqtt5
from transports.mqtt.broker.clients import Client, ClientLink, Disconnected, PublishedMessage
from transports.mqtt.broker.connect import Connect
from transports.mqtt.broker.framing import MAX_PACKET_BYTES, PacketReader, PacketWriter
from transports.mqtt.device_api.messages import MAX_INFLIGHT, MessageRefused

log = logging.getLogger(__name__)


class ClientConnection(ClientLink):
    """Carries out what `client` sends, one packet after the other: a client that floods waits for itself."""

    def __init__(self, connect: Connect, client: Client, reader: PacketReader, writer: PacketWriter) -> None:
        self._connect, self.client = connect, client
        self._reader, self._writer = reader, writer
        self._received: set[int] = set()
        self._active_at = time.monotonic()

    async def serve(self) -> None:
        """Accept the client and serve it until it disconnects. Raises what ends a connection otherwise."""
        properties = mqtt5.connack_properties(
            assigned_client_id="" if self._connect.client_id else self.client.client_id, max_packet_bytes=MAX_PACKET_BYTES
        )
        session_present = self.client.opened(self)
        try:
            self._writer.send(ConnackPacket.build(int(session_present), 0).to_bytes(), properties)
            self.client.accepted()
            await self._serve()
        finally:
            self.client.closed()

    def end(self, reason: int) -> None:
        """Close the connection from outside."""
        self._writer.end(reason)

    def publish(self, topic: str, body: bytes, packet_id: int | None, *, again: bool = False, properties: bytes = b"") -> bool:
        packet = PublishPacket.build(topic, body, packet_id, dup_flag=again, qos=1 if packet_id else 0, retain=False)
        sent = self._writer.send_message(packet.to_bytes(), properties, self._connect.properties.maximum_packet_size)
        if not sent:
            log.info("A message on %s is larger than its client accepts", topic)
        return sent

    async def _serve(self) -> None:
        try:
            while True:
                async with asyncio.timeout(self._patience_s()):
                    await self._reader.next_packet()
                header = await MQTTFixedHeader.from_stream(self._reader)
                if header is None:
                    raise MQTTError("A packet without a header")
                if header.packet_type == DISCONNECT:
                    return
                await self._carry_out(header)
        except Exception:
            await self._publish_will()
            raise

    async def _carry_out(self, header: MQTTFixedHeader) -> None:
        try:
            packet = await packet_class(header).from_stream(self._reader, fixed_header=header)
        except (CodecError, ValueError, struct.error) as err:
            raise MQTTError(f"A packet that cannot be read: {type(err).__name__}") from err
        self._reader.check_read()
        match packet:
            case PublishPacket():
                await self._published(packet)
            case SubscribePacket():
                self._subscribed(packet)
            case UnsubscribePacket():
                self._unsubscribed(packet)
            case PubackPacket():
                self.client.acknowledged(packet.variable_header.packet_id)
            case PubrelPacket():
                self._received.discard(packet.packet_id)
                self._writer.send(PubcompPacket.build(packet.packet_id).to_bytes())
            case _ if header.packet_type == PINGREQ:
                self._writer.send(PingRespPacket.build().to_bytes())
            case _:
                raise MQTTError(f"A client does not send packets of type {header.packet_type}")

    async def _published(self, packet: PublishPacket) -> None:
        self._active_at = time.monotonic()
        qos, packet_id, topic = packet.qos, packet.packet_id or 0, packet.topic_name or ""
        if qos == 3 or (qos and not packet_id) or {"+", "#"} & set(topic):
            raise MQTTError(
                "A PUBLISH with QoS 3, without packet id, or to a wildcard [MQTT-3.3.1-4] [MQTT-2.3.1-1] [MQTT-3.3.2-2]"
            )
        if qos == 2 and packet_id in self._received:
            self._acknowledge(qos, packet_id, mqtt5.SUCCESS)
            return
        if qos == 2:
            self._receive(packet_id)
        message = PublishedMessage(
            topic, packet.data or b"", qos, self._reader.properties, lambda reason: self._acknowledge(qos, packet_id, reason)
        )
        try:
            await self.client.take(message)
        except MessageRefused as err:
            self._refuse(message, err)

    def _refuse(self, message: PublishedMessage, err: MessageRefused) -> None:
        """Report to the client that its message is not kept, in the only way that its protocol version has."""
        REFUSED_MESSAGES.labels(f"0x{err.reason:02X}").inc()
        if not self._connect.speaks_5:
            raise Disconnected(err.reason, str(err)) from err
        log.info("Refused a message from %s: %s", self._connect.address, err)
        message.acknowledge(err.reason)

    def _receive(self, packet_id: int) -> None:
        if len(self._received) >= MAX_INFLIGHT:
            raise Disconnected(mqtt5.QUOTA_EXCEEDED, "too many messages at QoS 2 that it has not released")
        self._received.add(packet_id)

    def _subscribed(self, packet: SubscribePacket) -> None:
        self._active_at = time.monotonic()
        wanted = packet.payload.topics
        if not wanted or any(qos > 2 for _, qos in wanted):
            raise MQTTError("A SUBSCRIBE without topics, or with QoS 3 [MQTT-3.8.3-3] [MQTT-3.8.3-4]")
        codes = [self.client.subscribe(topic_filter, qos) for topic_filter, qos in wanted]
        self._writer.send(SubackPacket.build(packet.variable_header.packet_id, codes).to_bytes())

    def _unsubscribed(self, packet: UnsubscribePacket) -> None:
        packet_id, topics = packet.variable_header.packet_id, packet.payload.topics
        for topic_filter in topics:
            self.client.unsubscribe(topic_filter)
        if self._connect.speaks_5:
            self._writer.send_raw(mqtt5.unsuback(packet_id, len(topics)))
        else:
            self._writer.send(UnsubackPacket.build(packet_id).to_bytes())

    def _acknowledge(self, qos: int, packet_id: int, reason: int) -> None:
        if not qos:
            return
        if qos == 2 and reason >= mqtt5.UNSPECIFIED_ERROR:
            # No PUBREL follows a PUBREC that says so (MQTT 5 section 4.3.3).
            self._received.discard(packet_id)
        kind, build = (PUBACK, PubackPacket.build) if qos == 1 else (PUBREC, PubrecPacket.build)
        if reason and self._connect.speaks_5:
            self._writer.send_raw(mqtt5.acknowledgement(kind, packet_id, reason))
        else:
            self._writer.send(build(packet_id).to_bytes())

    async def _publish_will(self) -> None:
        """Publish the will of a client that is gone without DISCONNECT. On a topic that is not its own, it is dropped."""
        if self._connect.will:
            with contextlib.suppress(MessageRefused, Disconnected):
                await self.client.take(PublishedMessage(self._connect.will.topic, self._connect.will.body))

    def _patience_s(self) -> float | None:
        """Return how long to wait for the next packet, None for ever [MQTT-3.1.2-24]."""
        keep_alive = self._connect.keep_alive_s * 1.5 or None
        if self.client.idle_s is None:
            return keep_alive
        left = max(0.0, self._active_at + self.client.idle_s - time.monotonic())
        return left if keep_alive is None else min(keep_alive, left)
