"""Digests of credentials under the key of one broker (deploy/mosquitto/plugin/FEED.md, *Digests*). Pure functions."""

import hashlib
import hmac
import uuid
from dataclasses import dataclass, field

from devices.credentials import AccessToken, Credentials, MqttBasic, X509Certificate

_PURPOSE = b"firstlight replica 1"
_SIZE = 16


@dataclass(frozen=True, slots=True)
class CredentialsDigest:
    """By what a client is found, and the password that must match ("" for any); each of 32 hex digits."""

    lookup: str
    password: str


@dataclass(frozen=True, slots=True)
class DigestKey:
    """The key of a broker's digests. `mark` identifies the key that digests were made with."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: str) -> "DigestKey":
        return cls(hmac.digest(secret.encode(), _PURPOSE, "sha256"))

    @property
    def mark(self) -> int:
        return int.from_bytes(hmac.digest(self._key, b"mark", "sha256")[:4], signed=True)

    def digest_of(self, device_id: uuid.UUID, credentials: Credentials) -> CredentialsDigest:
        match credentials:
            case AccessToken(token):
                return CredentialsDigest(self._digest("username", token), "")
            case X509Certificate(body):
                return CredentialsDigest(self._digest("certificate", hashlib.sha3_256(body.encode()).hexdigest()), "")
            case MqttBasic(client_id, username, password):
                # Where no password is stored any is accepted (docs/protocol.md).
                stored = self._digest("password", device_id.hex, password) if password else ""
                return CredentialsDigest(self._mqtt_basic(client_id, username), stored)

    def _mqtt_basic(self, client_id: str, username: str) -> str:
        if client_id and username:
            return self._digest("client id and username", client_id, username)
        return self._digest("client id", client_id) if client_id else self._digest("username", username)

    def _digest(self, *parts: str) -> str:
        return hmac.digest(self._key, "\0".join(parts).encode(), "sha256")[:_SIZE].hex()
