"""Login sessions whose keys are not readable in the database (the setting SESSION_ENGINE).

The cookie holds the session key; the database holds its SHA-256. A session key is random, so that needs no salt. Who
reads the table, a backup or a replica cannot take over a session. The session's data hold no secret, except what the
wizard keeps there, which is encrypted.
"""

import base64
import hashlib
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

# Django's column has 40 characters: 240 of the 256 bits, in base64.
_DIGEST_BYTES = 30


def stored_key(session_key: str) -> str:
    """Return what the database holds in place of `session_key`, 40 characters."""
    digest = hashlib.sha256(session_key.encode()).digest()
    return base64.urlsafe_b64encode(digest[:_DIGEST_BYTES]).decode()


class SessionStore(db.SessionStore):
    """Django's sessions in the database, looked up by `stored_key`."""

    def exists(self, session_key: str) -> bool:
        return super().exists(stored_key(session_key))

    async def aexists(self, session_key: str) -> bool:
        return await super().aexists(stored_key(session_key))

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            super().delete(stored_key(key))

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        row = super().create_model_instance(data)
        row.session_key = stored_key(row.session_key)
        return row

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        row: AbstractBaseSession = await super().acreate_model_instance(data)
        row.session_key = stored_key(row.session_key)
        return row

    def _get_session_from_db(self) -> AbstractBaseSession | None:
        now: datetime = timezone.now()
        key = stored_key(self.session_key or "")
        row: AbstractBaseSession | None = self.model.objects.filter(session_key=key, expire_date__gt=now).first()
        if row is None:
            # As Django does: an unknown key that a client sent is not taken for a new session.
            self._session_key = None
        return row

    async def _aget_session_from_db(self) -> AbstractBaseSession | None:
        return await sync_to_async(self._get_session_from_db)()
