"""Secrets at rest: encryption for values that are needed again, keyed digests for values that are only looked up."""

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models

Text = TypeVar("Text", str, bytes)

# Prefix of values in a `manage.py dumpdata` file. It distinguishes them from secrets that a person types.
_DUMPED = "encrypted:"


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
    """Return the bytes that were passed to `encrypt_bytes`. Raises DecryptionFailed if no key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(token)
    except InvalidToken:
        raise DecryptionFailed("No key in ENCRYPTION_KEYS decrypts a stored value.") from None


def decrypt(token: str) -> str:
    """Return the text that was passed to `encrypt`. Raises DecryptionFailed if no key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(token.encode()).decode()
    except InvalidToken:
        # `from None`: the cause contains nothing but the cipher text.
        raise DecryptionFailed("No key in ENCRYPTION_KEYS decrypts a stored value.") from None


def lookup_id(purpose: str, *parts: str) -> str:
    """Return the HMAC-SHA256 of `parts` under LOOKUP_KEY, 64 hex digits.

    `purpose` separates different uses. Parts are length-prefixed, so ("ab", "c") and ("a", "bc") differ.
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
    """Text that is encrypted in the database and plain in Python. It cannot be used in a filter."""

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return value if value is None else decrypt(value)

    def get_prep_value(self, value: Any) -> str | None:
        return value if value is None else encrypt(str(value))

    def value_to_string(self, obj: models.Model) -> str:
        """Return the value for a dump, encrypted, since a file must not hold secrets either."""
        return _DUMPED + encrypt(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """Return the value that was dumped or typed. Raises ValidationError if it was dumped under another key."""
        if not isinstance(value, str) or not value.startswith(_DUMPED):
            return super().to_python(value)
        return _from_dump(decrypt, value.removeprefix(_DUMPED))


class EncryptedBinaryField(models.BinaryField[bytes, bytes]):
    """Bytes that are encrypted in the database and plain in Python. They cannot be used in a filter."""

    def from_db_value(self, value: Any, *_: Any) -> bytes | None:
        return value if value is None else decrypt_bytes(bytes(value))

    def get_prep_value(self, value: Any) -> bytes | None:
        return value if value is None else encrypt_bytes(bytes(value))

    def value_to_string(self, obj: models.Model) -> str:
        """Return the value for a dump, encrypted."""
        return encrypt_bytes(self.value_from_object(obj)).decode()

    def to_python(self, value: Any) -> Any:
        """Return the value that was dumped. Raises ValidationError if it was dumped under another key."""
        return _from_dump(decrypt_bytes, value.encode()) if isinstance(value, str) else value


def _from_dump(decrypted: Callable[[Text], Text], token: Text) -> Text:
    try:
        return decrypted(token)
    except DecryptionFailed as err:
        raise ValidationError(str(err)) from None
