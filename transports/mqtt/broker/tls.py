"""TLS under asyncio, by pyOpenSSL through memory BIOs.

A device may prove with a client certificate who it is, its own self-signed one included: TLS proves that it has the key,
the digest of the certificate says whose it is. So a certificate is requested and not required, and no chain is verified.
Python's `ssl` cannot do that: it verifies a chain, or does not ask.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from transports.mqtt.broker.gate import Gate, Place

# A client must have finished its handshake after this time.
HANDSHAKE_TIMEOUT_S = 10.0
# What OpenSSL answers on its own, e.g. to key updates, without the client reading it.
MAX_UNREAD_BYTES = 2 * 1024 * 1024
READ_BYTES = 16 * 1024
BACKLOG = 1024
# `get_extra_info` of a connection has the client's certificate in DER form under this name, None without one.
PEER_CERTIFICATE = "peer_certificate_der"
# ... and the place that the gate gave it.
PLACE = "gate_place"
# Of TLS 1.2, with forward secrecy and AEAD; all suites of TLS 1.3 are such.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class CertificateUnusable(Exception):
    """The server's certificate or key cannot be used. The text is one sentence that names the file."""


def server_context(certificate: Path, key: Path) -> SSL.Context:
    """Return a context with the certificate (its chain behind it) and key in PEM. Raises CertificateUnusable."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
    # No resumption: each connection proves that it has the key of its certificate, and OpenSSL keeps no sessions in memory.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    try:
        context.use_certificate_chain_file(str(certificate))
    except SSL.Error:
        raise CertificateUnusable(f"{certificate} cannot be read, or is not a certificate in PEM.") from None
    try:
        # Another kind of key raises TypeError.
        context.use_privatekey(load_pem_private_key(key.read_bytes(), password=None))  # type: ignore[arg-type]
        context.check_privatekey()
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, SSL.Error):
        raise CertificateUnusable(f"{key} cannot be read, is encrypted, or is not the key of {certificate}.") from None
    return context


@dataclass(frozen=True, slots=True)
class TlsListener:
    """A socket that is bound, and what its connections are encrypted with."""

    socket: socket
    context: SSL.Context


async def start_tls_server(connected: Connected, listener: TlsListener, *, gate: Gate, limit: int) -> asyncio.Server:
    """Return a server on `listener`, which runs `connected` for each connection after its handshake."""
    loop = asyncio.get_running_loop()
    # The loop fills it and hands it over at once, so that all connections can share it.
    buffer = memoryview(bytearray(READ_BYTES))

    def connection() -> asyncio.BaseProtocol:
        streams = asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=limit, loop=loop), connected, loop=loop)
        return _TlsProtocol(SSL.Connection(listener.context), streams, gate, buffer)

    return await loop.create_server(connection, sock=listener.socket, backlog=BACKLOG)


class _TlsProtocol(asyncio.BufferedProtocol):
    """One connection: feeds what the network brings to OpenSSL, and what comes out of it to the protocol above."""

    def __init__(self, tls: SSL.Connection, above: asyncio.StreamReaderProtocol, gate: Gate, buffer: memoryview) -> None:
        self._tls, self._above, self._gate, self._buffer = tls, above, gate, buffer
        self._tls.set_accept_state()
        self._place: Place | None = None
        self._network: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._established = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._network = transport
        address = str((transport.get_extra_info("peername") or ("unknown",))[0])
        # Before anything is computed for it.
        self._place = self._gate.enter(address, transport.abort)
        if self._place is None:
            transport.abort()
            return
        self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_TIMEOUT_S, transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._network is None or self._network.is_closing():
            return
        self._tls.bio_write(bytes(self._buffer[:nbytes]))
        try:
            if self._established or self._shake_hands():
                self._read()
        except SSL.ZeroReturnError:
            # close_notify: the client sends nothing more, and may still wait for an answer.
            self.eof_received()
        except SSL.Error:
            # An alert says what is wrong, where there is one.
            self.flush()
            self._network.close()
        else:
            self.flush()

    def eof_received(self) -> bool:
        if self._established:
            self._above.eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        if self._place:
            self._place.leave()
        if self._established:
            self._above.connection_lost(exc)
        self._network = None

    def pause_writing(self) -> None:
        if self._established:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        if self._established:
            self._above.resume_writing()

    def flush(self) -> None:
        """Send what OpenSSL has for the client."""
        if self._network is None or self._network.is_closing():
            return
        try:
            while True:
                self._network.write(self._tls.bio_read(READ_BYTES))
        except SSL.WantReadError:
            pass
        if self._network.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._network.abort()

    def _shake_hands(self) -> bool:
        """Take the handshake as far as it goes; return whether it is done."""
        assert self._network
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        if self._deadline:
            self._deadline.cancel()
        self._established = True
        self.flush()
        self._above.connection_made(_TlsTransport(self._tls, self._network, self.flush, self._place))
        return True

    def _read(self) -> None:
        try:
            while True:
                self._above.data_received(self._tls.recv(READ_BYTES))
        except SSL.WantReadError:
            pass


class _TlsTransport(asyncio.Transport):
    """What a stream writer writes to."""

    def __init__(self, tls: SSL.Connection, network: asyncio.Transport, flush: Callable[[], None], place: Place | None) -> None:
        super().__init__()
        self._tls, self._network, self._flush = tls, network, flush
        certificate = tls.get_peer_certificate()
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) if certificate else None
        # By "sslcontext" asyncio's streams know that there is no half-closed connection.
        self._info: dict[str, Any] = {"sslcontext": tls.get_context(), PEER_CERTIFICATE: der, PLACE: place}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._info[name] if name in self._info else self._network.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not data or self._network.is_closing():
            return
        self._tls.sendall(bytes(data))
        self._flush()

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if self._network.is_closing():
            return
        self._tls.shutdown()
        self._flush()
        self._network.close()

    def abort(self) -> None:
        self._network.abort()

    def is_closing(self) -> bool:
        return self._network.is_closing()

    def is_reading(self) -> bool:
        return self._network.is_reading()

    def pause_reading(self) -> None:
        self._network.pause_reading()

    def resume_reading(self) -> None:
        self._network.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._network.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._network.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._network.set_write_buffer_limits(high, low)
