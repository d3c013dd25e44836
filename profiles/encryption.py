"""Secrets at rest: encryption of values that must be shown again, keyed digests of values that are looked up."""

import hashlib
import hmac
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class DecryptionFailed(Exception):
    """A stored value was encrypted under a key that ENCRYPTION_KEYS no longer has."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as err:
        raise ImproperlyConfigured("ENCRYPTION_KEYS must hold one or more Fernet keys, newest first.") from err


def encrypt(plain: str) -> str:
    """Return `plain` encrypted under the newest key, as ASCII text."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(plain.encode()).decode()


def encrypt_bytes(plain: bytes) -> bytes:
    """Return `plain` encrypted under the newest key."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(plain)


def decrypt_bytes(token: bytes) -> bytes:
    """Return the bytes that `encrypt_bytes` was given. Raises DecryptionFailed when no key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(token)
    except InvalidToken:
        raise DecryptionFailed("No key in ENCRYPTION_KEYS decrypts a stored value.") from None


def decrypt(token: str) -> str:
    """Return the text that `encrypt` was given. Raises DecryptionFailed when no key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(token.encode()).decode()
    except InvalidToken:
        # `from None`: the cause would carry nothing but the cipher text.
        raise DecryptionFailed("No key in ENCRYPTION_KEYS decrypts a stored value.") from None


def lookup_id(purpose: str, *parts: str) -> str:
    """Return the HMAC-SHA256 of `parts` under LOOKUP_KEY, 64 hex digits.

    `purpose` separates uses from each other. Parts are length-prefixed, so ("ab", "c") and ("a", "bc") differ.
    """
    digest = _keyed(settings.LOOKUP_KEY).copy()
    for text in (purpose, *parts):
        part = text.encode()
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.hexdigest()


@lru_cache(maxsize=4)
def _keyed(key: str) -> hmac.HMAC:
    return hmac.new(key.encode(), digestmod=hashlib.sha256)


class EncryptedTextField(models.TextField[str, str]):
    """A text that is encrypted in the database and plain in Python. It cannot be filtered by."""

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return value if value is None else decrypt(value)

    def get_prep_value(self, value: Any) -> str | None:
        return value if value is None else encrypt(str(value))


class EncryptedBinaryField(models.BinaryField[bytes, bytes]):
    """Bytes that are encrypted in the database and plain in Python. They cannot be filtered by."""

    def from_db_value(self, value: Any, *_: Any) -> bytes | None:
        return value if value is None else decrypt_bytes(bytes(value))

    def get_prep_value(self, value: Any) -> bytes | None:
        return value if value is None else encrypt_bytes(bytes(value))
