"""Stores the entries of the wizard in the session, encrypted, since they include a provision secret."""

import json
from typing import Any

from django.utils.datastructures import MultiValueDict
from formtools.wizard.storage.session import SessionStorage

from core.encryption import DecryptionFailed, decrypt, encrypt


class EncryptedSessionStorage(SessionStorage):
    def get_step_data(self, step: str) -> MultiValueDict[str, str] | None:
        """Return what was typed at `step`; None when nothing was, or its key has left ENCRYPTION_KEYS meanwhile."""
        stored = self.data[self.step_data_key].get(step)
        if stored is None:
            return None
        try:
            return MultiValueDict(json.loads(decrypt(stored)))
        except DecryptionFailed:
            return None

    def set_step_data(self, step: str, cleaned_data: Any) -> None:
        self.data[self.step_data_key][step] = encrypt(json.dumps(dict(cleaned_data.lists())))
