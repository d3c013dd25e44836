"""The rules of device credentials: what is usable, by which id they are found, how they are stored.

Nothing here touches the database. Source of the rules: docs/protocol.md, *Request*, *Response* and
*With the credentials afterwards*.
"""

import base64
import hashlib
import json
import re
import uuid
from dataclasses import dataclass, field
from typing import ClassVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from core.encryption import lookup_id
from core.random_text import random_alphanumeric
from core.text import MAX_TEXT_LENGTH, has_control_characters
from devices.choices import CredentialsType

RESERVED_NAME = "provision"
# A certificate of 16 KiB is far beyond any real one; parsing stops being cheap there.
MAX_CERTIFICATE_LENGTH = 16 * 1024
MIN_RSA_BITS = 2048
MIN_EC_BITS = 224

_PEM_BODY = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


class InvalidCredentials(Exception):
    """Credentials that cannot be used. The text says why, and never holds the credentials themselves."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token, sent in the URL (HTTP, CoAP) or as the MQTT user name."""

    type: ClassVar[CredentialsType] = CredentialsType.ACCESS_TOKEN
    token: str = field(repr=False)

    @property
    def credentials_id(self) -> str:
        return username_id(self.token)

    @property
    def stored_value(self) -> str:
        return self.token


@dataclass(frozen=True, slots=True)
class MqttBasic:
    """MQTT client id, user name and password; a part that was not chosen is empty."""

    type: ClassVar[CredentialsType] = CredentialsType.MQTT_BASIC
    client_id: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def credentials_id(self) -> str:
        return mqtt_basic_id(client_id=self.client_id, username=self.username)

    @property
    def stored_value(self) -> str:
        return json.dumps([self.client_id, self.username, self.password])


@dataclass(frozen=True, slots=True)
class X509Certificate:
    """A certificate, as the base64 body of its DER form: no BEGIN and END lines, no line breaks."""

    type: ClassVar[CredentialsType] = CredentialsType.X509_CERTIFICATE
    body: str = field(repr=False)

    @property
    def credentials_id(self) -> str:
        return hashlib.sha3_256(self.body.encode()).hexdigest()

    @property
    def stored_value(self) -> str:
        return self.body


Credentials = AccessToken | MqttBasic | X509Certificate


def username_id(name: str) -> str:
    """Return the lookup id of an access token, 64 hex digits.

    MQTT credentials with a user name alone share it, since both are found by the user name of a CONNECT
    and nothing else: so one name never means two devices.
    """
    return lookup_id("username", name)


def mqtt_basic_id(*, client_id: str, username: str) -> str:
    """Return the lookup id of MQTT basic credentials, 64 hex digits. Not both parts may be empty."""
    if not client_id:
        return username_id(username)
    if not username:
        return lookup_id("client id", client_id)
    return lookup_id("client id and username", client_id, username)


def from_stored(credentials_type: str, value: str) -> Credentials:
    """Return the credentials that were stored as `type` and `stored_value`."""
    match CredentialsType(credentials_type):
        case CredentialsType.ACCESS_TOKEN:
            return AccessToken(value)
        case CredentialsType.MQTT_BASIC:
            return MqttBasic(*json.loads(value))
        case CredentialsType.X509_CERTIFICATE:
            return X509Certificate(value)


def generated_token() -> AccessToken:
    """Return a new access token of 20 alphanumeric characters, 119 bits."""
    return AccessToken(random_alphanumeric())


def renewed(credentials: Credentials) -> Credentials:
    """Return new credentials of the type of `credentials`, which open nothing any more. For a certificate: an access token."""
    if not isinstance(credentials, MqttBasic):
        return generated_token()
    client_id, username = (random_alphanumeric() if part else "" for part in (credentials.client_id, credentials.username))
    return MqttBasic(client_id, username, random_alphanumeric())


def opened_by(new: Credentials, old: Credentials) -> bool:
    """Return whether `old` opens what `new` opens. A certificate never does: its key stays in the device."""
    if isinstance(old, X509Certificate) or new.credentials_id != old.credentials_id:
        return False
    return not isinstance(new, MqttBasic) or not new.password or new == old


def normalized(credentials: Credentials, *, min_token_length: int = 1) -> Credentials:
    """Return `credentials` in the form in which they are stored. Raises InvalidCredentials."""
    match credentials:
        case AccessToken(token):
            if len(token) < min_token_length:
                raise InvalidCredentials(
                    f"The token has {len(token)} characters; the profile asks for {min_token_length} at least."
                )
            _check_text("token", token)
            return credentials
        case MqttBasic(client_id, username, password):
            if not client_id and not username:
                raise InvalidCredentials("MQTT credentials need a client id or a user name.")
            if not password and max(len(client_id), len(username)) < min_token_length:
                # Without a password they open the device by themselves, as a token does.
                raise InvalidCredentials(
                    f"Without a password, the client id or the user name needs {min_token_length} characters at least."
                )
            _check_text("client id", client_id)
            _check_text("user name", username)
            _check_text("password", password)
            return credentials
        case X509Certificate(text):
            return X509Certificate(certificate_body(text))


def certificate_body(text: str) -> str:
    """Return the base64 body of the first certificate in `text`, PEM or bare base64. Raises InvalidCredentials."""
    if len(text) > MAX_CERTIFICATE_LENGTH:
        raise InvalidCredentials(f"The certificate has more than {MAX_CERTIFICATE_LENGTH} characters.")
    pem = _PEM_BODY.search(text)
    encoded = "".join((pem.group(1) if pem else text).split())
    try:
        der = base64.b64decode(encoded, validate=True)
        certificate = x509.load_der_x509_certificate(der)
        _check_strength(certificate)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as err:
        raise InvalidCredentials("The certificate is neither PEM nor base64 of a certificate.") from err
    if base64.b64encode(der).decode() != encoded:
        # Stray bits in the last digit (RFC 4648 section 3.5): the answer must repeat the text that was sent, and it is
        # found again by the text that its DER form makes.
        raise InvalidCredentials("The base64 of the certificate is not canonical.")
    return encoded


def _check_strength(certificate: x509.Certificate) -> None:
    """Raise InvalidCredentials for a certificate that can be forged (NIST SP 800-131A), ValueError for an unreadable one."""
    key, digest = certificate.public_key(), certificate.signature_hash_algorithm
    if isinstance(key, dsa.DSAPublicKey):
        raise InvalidCredentials("The certificate has a DSA key; use RSA, elliptic curves or Ed25519.")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise InvalidCredentials(f"The certificate has an RSA key of {key.key_size} bits; at least {MIN_RSA_BITS} are needed.")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < MIN_EC_BITS:
        raise InvalidCredentials(f"The certificate is on a curve of {key.key_size} bits; at least {MIN_EC_BITS} are needed.")
    if isinstance(digest, hashes.MD5 | hashes.SHA1):
        raise InvalidCredentials(f"The certificate is signed with {digest.name.upper()}; use SHA-256 or better.")


def certificate_claim_id(device_id: uuid.UUID, certificate: str) -> str:
    """Return the lookup id of a certificate that a device named and has not proved to have: it does not keep its owner out."""
    return lookup_id("certificate claim", str(device_id), certificate)


def certificate_id(der: bytes) -> str:
    """Return the lookup id of the certificate that a TLS client showed, in DER form."""
    return X509Certificate(base64.b64encode(der).decode()).credentials_id


def _check_text(what: str, text: str) -> None:
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidCredentials(f"The {what} has more than {MAX_TEXT_LENGTH} characters.")
    if has_control_characters(text):
        raise InvalidCredentials(f"The {what} has control characters.")
    if what != "password" and text == RESERVED_NAME:
        raise InvalidCredentials(f"The {what} is '{RESERVED_NAME}', which is reserved for provisioning.")
