"""TLS under asyncio, against clients of Python's own `ssl`."""

import asyncio
import base64
import contextlib
import re
import socket
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.certificates import self_signed
from transports.mqtt.broker import tls
from transports.mqtt.broker.certificates import own_certificate
from transports.mqtt.broker.gate import Gate, Limits
from transports.mqtt.broker.tls import PEER_CERTIFICATE, CertificateUnusable, TlsListener, server_context, start_tls_server

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return own_certificate(tmp_path_factory.mktemp("tls"), ("localhost", "127.0.0.1"))


def open_gate(total=100):
    return Gate(Limits.of(total, total))


async def echo(reader, writer):
    writer.write((writer.get_extra_info(PEER_CERTIFICATE) or b"none") + b"\n")
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def run(scenario, files, *, serve=echo, gate=None, limit=8192):
    """Run `scenario(port)` against a server that runs `serve` for each connection."""

    async def whole():
        listener = socket.create_server(("127.0.0.1", 0))
        tls_listener = TlsListener(listener, server_context(files.certificate, files.key))
        server = await start_tls_server(serve, tls_listener, gate=gate or open_gate(), limit=limit)
        async with server, asyncio.timeout(TIMEOUT_S):
            return await scenario(listener.getsockname()[1])

    return asyncio.run(whole())


def trusting(files, **versions):
    context = ssl.create_default_context(cafile=str(files.ca))
    for name, value in versions.items():
        setattr(context, name, value)
    return context


async def settled(condition):
    """Wait until `condition` holds; `run` limits the time."""
    while not condition():  # noqa: ASYNC110 — what changes is OpenSSL's and asyncio's state
        await asyncio.sleep(0.01)


def encoded(key):
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def ssl_pem(der):
    return b"-----BEGIN EC PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END EC PRIVATE KEY-----\n"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_client_without_certificate_is_served(files, version, host):
    async def scenario(port):
        context = trusting(files, minimum_version=version, maximum_version=version)
        reader, writer = await asyncio.open_connection(host, port, family=socket.AF_INET, ssl=context)
        writer.write(b"x" * 200_000)
        got = await reader.readexactly(len(b"none\n") + 200_000)
        writer.close()
        return got

    assert run(scenario, files) == b"none\n" + b"x" * 200_000


@pytest.mark.parametrize("days", [30, -30])
def test_self_signed_certificate_is_known_by_its_exact_bytes(files, tmp_path, days):
    certificate, key = self_signed(tmp_path, "device", days=days)

    async def scenario(port):
        context = trusting(files)
        context.load_cert_chain(certificate, key)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        got = await reader.readexactly(len(der))
        writer.close()
        return got == der

    assert run(scenario, files)


def test_certificate_without_its_key_opens_nothing(files, tmp_path):
    """What a thief does that has only seen the certificate: signs with a key of its own, and calls it the owner's."""
    certificate, owner_key = self_signed(tmp_path, "owner")
    _, thief_key = self_signed(tmp_path, "thief")
    owner, thief = (load_pem_private_key(file.read_bytes(), None) for file in (owner_key, thief_key))
    forged = tmp_path / "forged.key"
    forged.write_bytes(ssl_pem(encoded(thief).replace(point(thief), point(owner))))
    served = []

    async def serve(reader, writer):
        served.append(writer.get_extra_info(PEER_CERTIFICATE))

    async def scenario(port):
        context = trusting(files)
        context.load_cert_chain(certificate, forged)
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            # In TLS 1.3 the client believes itself connected until it reads.
            await (await asyncio.open_connection("127.0.0.1", port, ssl=context))[0].readexactly(1)

    run(scenario, files, serve=serve)

    assert served == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_older_tls_is_refused(files):
    async def scenario(port):
        context = trusting(files, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=context)

    run(scenario, files)


def test_session_is_not_resumed(files):
    def connect_twice(port):
        context, session = trusting(files), None
        for _ in range(2):
            raw = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as client:
                client.recv(5)
                session = client.session
        return client.session_reused

    assert not run(lambda port: asyncio.to_thread(connect_twice, port), files)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_unfinished_handshake_is_ended_and_counted_out(files, monkeypatch, sent):
    monkeypatch.setattr(tls, "HANDSHAKE_TIMEOUT_S", 0.2)
    gate = open_gate()

    async def scenario(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await settled(lambda: not gate.taken)

    run(scenario, files, gate=gate)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", b"\x10\x0c\0\4MQTT\4\2\0\x3c\0\0", bytes(300)])
def test_bytes_that_are_not_tls_end_their_own_connection(files, sent):
    gate = open_gate()

    async def scenario(port):
        bystander = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(files))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        await settled(lambda: gate.taken == 1)
        bystander[1].write(b"still here")
        assert await bystander[0].readexactly(15) == b"none\nstill here"
        for one in (writer, bystander[1]):
            one.close()

    run(scenario, files, gate=gate)


def test_connection_that_the_gate_refuses_is_closed_unanswered(files):
    gate = open_gate(total=1)
    gate.enter("127.0.0.1", lambda: None).is_device()

    async def scenario(port):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=trusting(files))

    run(scenario, files, gate=gate)

    assert gate.taken == 1


def test_client_that_is_not_read_has_to_wait(files):
    limit, held = 8192, []

    async def serve(reader, writer):
        held.append((reader, writer))
        await settled(lambda: not writer.transport.is_reading())

    async def scenario(port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(files))
        writer.write(bytes(4_000_000))
        await settled(lambda: held and not held[0][1].transport.is_reading())
        assert len(held[0][0]._buffer) <= 2 * limit + tls.READ_BYTES
        rest = 4_000_000
        while rest:
            rest -= len(await held[0][0].read(65_536))
        for one in (writer, held[0][1]):
            one.close()

    run(scenario, files, serve=serve, limit=limit)


def test_answer_to_the_last_words_is_still_sent(files):
    async def serve(reader, writer):
        writer.write(b"answer to " + await reader.read())
        writer.close()

    def client(port):
        raw = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        one = trusting(files).wrap_bio(incoming, outgoing, server_hostname="localhost")

        def step(work, *arguments):
            while True:
                try:
                    return work(*arguments)
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(65_536))

        step(one.do_handshake)
        one.write(b"the last words")
        with contextlib.suppress(ssl.SSLWantReadError):
            one.unwrap()
        raw.sendall(outgoing.read())
        got = b""
        while data := raw.recv(65_536):
            incoming.write(data)
        with contextlib.suppress(ssl.SSLError):
            while more := one.read(100):
                got += more
        raw.close()
        return got

    assert run(lambda port: asyncio.to_thread(client, port), files, serve=serve) == b"answer to the last words"


def test_unusable_certificate_or_key_is_named(files, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(b"passphrase")
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    _, other = self_signed(tmp_path, "other")

    for wrong in (encrypted, other, tmp_path / "missing"):
        with pytest.raises(CertificateUnusable, match=re.escape(str(wrong))):
            server_context(files.certificate, wrong)
    with pytest.raises(CertificateUnusable, match=r"missing\.pem"):
        server_context(tmp_path / "missing.pem", files.key)
