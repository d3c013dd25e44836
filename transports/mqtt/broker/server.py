"""The embedded MQTT broker: amqtt's, with connections of our own.

amqtt 0.12 drops a session by its client id before it has authenticated who connects, limits neither packets nor the time
to send CONNECT, and does not keep the messages of clients apart. So the life of a connection is ours (`_connected`), and what is
amqtt's is to listen, to start and stop, and the packets themselves.
"""

import asyncio
import logging
import socket
from typing import Any

from amqtt.broker import Broker
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.connack import SERVER_UNAVAILABLE, UNACCEPTABLE_PROTOCOL_VERSION, ConnackPacket

from core.log_throttle import OncePerMinute
from transports.mqtt.broker import mqtt5
from transports.mqtt.broker.admission import admit
from transports.mqtt.broker.broker_state import BrokerState
from transports.mqtt.broker.clients import Client, Disconnected
from transports.mqtt.broker.connect import Connect, Refused, read_connect
from transports.mqtt.broker.connection import ClientConnection
from transports.mqtt.broker.framing import PacketReader, PacketTooLarge, PacketWriter, UnacceptableProtocol
from transports.mqtt.broker.gate import Gate, Limits, Place
from transports.mqtt.broker.tls import PLACE, TlsListener, start_tls_server

# Strangers must not fill the log: each of its messages appears once a minute, with the number of those like it.
log = logging.getLogger(__name__)
log.addFilter(OncePerMinute())

# Time to send CONNECT.
CONNECT_TIMEOUT_S = 10.0
# Time for the database to say who it is.
ADMISSION_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0
# The name of the second listener.
TLS = "tls"
READ_AHEAD_BYTES = 8 * 1024
# A peer that is gone without a word is noticed after this, whatever its keep-alive: first probe, between probes, probes.
TCP_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))


class ProvisioningBroker(Broker):
    """A broker on sockets that are bound already. Start it with `start`, stop it with `shutdown`."""

    def __init__(self, listener: socket.socket, *, limits: Limits, tls: TlsListener | None = None) -> None:
        listeners = {name: {"type": "tcp", "bind": "unused:0"} for name in ("default", *([TLS] if tls else []))}
        super().__init__({"listeners": listeners, "plugins": {}})
        self._listener, self._tls = listener, tls
        self._gate = Gate(limits)
        self._state = BrokerState()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connections: dict[str, ClientConnection] = {}

    async def start(self) -> None:
        self._state.news.start()
        await super().start()

    async def _create_server_instance(self, listener_name: str, *_args: Any) -> asyncio.Server:
        if listener_name == TLS and self._tls:
            return await start_tls_server(self._tls_connected, self._tls, gate=self._gate, limit=READ_AHEAD_BYTES)
        return await asyncio.start_server(self._plain_connected, sock=self._listener, limit=READ_AHEAD_BYTES, backlog=1024)

    async def _plain_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outbound = PacketWriter(writer)
        place = self._gate.enter(_address(outbound), writer.transport.abort)
        if place is None:
            writer.transport.abort()
            return
        try:
            await self._connected(reader, writer, place)
        finally:
            place.leave()

    async def _tls_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place: Place = writer.get_extra_info(PLACE)
        await self._connected(reader, writer, place)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: Place) -> None:
        """Serve one connection to its end. Nothing that goes wrong with it reaches any other."""
        task, outbound = asyncio.current_task(), PacketWriter(writer)
        assert task
        self._tasks.add(task)
        try:
            _notice_lost_peers(writer.get_extra_info("socket"))
            await self._serve(PacketReader(reader), outbound, place)
        except asyncio.CancelledError:
            # The broker is stopping. Passed on, asyncio's streams of Python 3.11 would log it as an error.
            log.debug("A connection did not end in time")
        except Exception:
            log.exception("A connection failed unexpectedly")
        finally:
            outbound.end()
            self._tasks.discard(task)

    async def shutdown(self) -> None:
        """Stop listening, close all connections, and return once the requests in flight are finished."""
        for server in self._servers.values():
            server.instance.close()
        for connection in list(self._connections.values()):
            connection.end(mqtt5.SERVER_SHUTTING_DOWN)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
        await self._state.news.stop()
        self._state.database.close()
        await super().shutdown()

    async def _serve(self, reader: PacketReader, writer: PacketWriter, place: Place) -> None:
        peer = _address(writer)
        try:
            connection = await self._connection(reader, writer, place)
            if connection:
                await self._serve_as_only(connection)
        except Disconnected as err:
            log.info("Closed a connection from %s: %s", peer, err)
            writer.end(err.reason)
        except PacketTooLarge as err:
            log.info("Closed a connection from %s: %s", peer, err)
            writer.end(mqtt5.PACKET_TOO_LARGE)
        except (AMQTTError, MQTTError, NoDataError) as err:
            log.info("Closed a connection from %s: %s", peer, err)
            writer.end(mqtt5.MALFORMED_PACKET)
        except TimeoutError:
            writer.end(mqtt5.KEEP_ALIVE_TIMEOUT)
        except (EOFError, OSError) as err:
            log.debug("A connection from %s is gone: %s", peer, type(err).__name__)

    async def _connection(self, reader: PacketReader, writer: PacketWriter, place: Place) -> ClientConnection | None:
        """Return the connection that a CONNECT opens, None when it is refused; no session has been touched then."""
        try:
            connect = await self._connect(reader, writer)
            client = await self._admitted(connect, place)
        except UnacceptableProtocol:
            refused = Refused(UNACCEPTABLE_PROTOCOL_VERSION, "an unknown protocol version")
        except Refused as err:
            refused = err
        else:
            return ClientConnection(connect, client, reader, writer)
        log.info("Refused a client from %s: %s", _address(writer), refused)
        if writer.speaks_5:
            writer.send_raw(mqtt5.connack(refused.reason))
        else:
            writer.send(ConnackPacket.build(0, refused.code).to_bytes())
        return None

    async def _connect(self, reader: PacketReader, writer: PacketWriter) -> Connect:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await reader.next_packet()
        writer.speaks_5 = reader.level == 5
        return read_connect(
            reader.body,
            speaks_5=writer.speaks_5,
            properties=reader.properties,
            address=_address(writer),
            certificate=writer.peer_certificate,
        )

    async def _admitted(self, connect: Connect, place: Place) -> Client:
        try:
            async with asyncio.timeout(ADMISSION_TIMEOUT_S):
                return await admit(connect, self._state, place)
        except TimeoutError:
            raise Refused(SERVER_UNAVAILABLE, "the database takes too long") from None

    async def _serve_as_only(self, connection: ClientConnection) -> None:
        """Serve `connection` in place of one that has the same key [MQTT-3.1.4-2]."""
        key = connection.client.key
        if key in self._connections:
            self._connections[key].end(mqtt5.SESSION_TAKEN_OVER)
        self._connections[key] = connection
        try:
            await connection.serve()
        finally:
            if self._connections.get(key) is connection:
                del self._connections[key]


def _address(writer: PacketWriter) -> str:
    return str((writer.get_peer_info() or ("unknown",))[0])


def _notice_lost_peers(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in TCP_KEEPALIVE:
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
