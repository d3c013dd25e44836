"""The certificate that the embedded broker presents over TLS, made by a CA of this installation's own.

Devices are given `ca.pem` to trust. The CA's key is kept, so that the server's certificate can be renewed under it.
"""

import fcntl
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 20 * 365
SERVER_DAYS = 5 * 365
# A process may run for long without a restart: the certificate is renewed at the first start in its last year.
RENEW_DAYS = 365


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Where the certificates are, in PEM. `ca` is what devices trust; empty for the operator's own certificate."""

    ca: Path | None
    certificate: Path
    key: Path


def own_certificate(folder: Path, hosts: Iterable[str]) -> ServerFiles:
    """Return the certificate below `folder` for `hosts` (names and IP addresses); makes or renews it where needed.

    Raises OSError when the folder cannot be written or the CA's key is missing, ValueError when a file there is no certificate.
    """
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    certificate, key = folder / "server.pem", folder / "server.key"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        # Two processes of a first run must not make a CA each.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ca.exists():
            _make_ca(ca, ca_key)
        names = _alternative_names(hosts)
        if not _is_current(ca, certificate, key, names):
            _make_server(ca, ca_key, certificate, key, names)
    return ServerFiles(ca, certificate, key)


def _make_ca(certificate_file: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Firstlight CA {x509.random_serial_number():x}"[:30])])
    built = (
        _builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(key_file, _pem(key))
    _write(certificate_file, built.public_bytes(serialization.Encoding.PEM), 0o644)


def _make_server(
    ca_file: Path, ca_key_file: Path, certificate_file: Path, key_file: Path, names: x509.SubjectAlternativeName
) -> None:
    ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
    ca_key = _load_key(ca_key_file)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Firstlight MQTT broker")])
    built = (
        _builder(subject, ca.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(key_file, _pem(key))
    _write(certificate_file, built.public_bytes(serialization.Encoding.PEM), 0o644)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # The clock of a device may be late.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_current(ca_file: Path, certificate_file: Path, key_file: Path, names: x509.SubjectAlternativeName) -> bool:
    if not (certificate_file.exists() and key_file.exists()):
        return False
    found = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
    in_use = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    soon = datetime.now(UTC) + timedelta(days=RENEW_DAYS)
    if found.issuer != ca.subject or found.not_valid_after_utc < soon or not set(names) <= set(in_use):
        return False
    # A crash while the certificate was renewed leaves the new key with the old certificate.
    return _load_key(key_file).public_key() == found.public_key()


def _alternative_names(hosts: Iterable[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_alternative_name(host) for host in dict.fromkeys(hosts) if host.isascii()])


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{file} is not the key that was made here.")  # noqa: TRY004 — the file is wrong, not a type
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Put `content` into `file` whole or not at all."""
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(file)
