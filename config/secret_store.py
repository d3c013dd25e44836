"""The secrets of an installation: from the environment, else generated once and kept in the data folder."""

import json
import os
import secrets
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

FILE_NAME = "secrets.json"


class Secret(str):
    """Text that is hidden in `manage.py diffsettings`, tracebacks with local variables, and logged settings."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'" if self else "''"


def load_or_create(data_dir: Path) -> dict[str, str]:
    """Return the secrets of the installation by setting name. The first call generates them.

    They are kept in `secrets.json` below `data_dir`, readable by its owner only. When several
    processes start at once, one of them creates the file and all of them read the same one.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _create(path)
    stored: dict[str, str] = json.loads(path.read_text())
    return stored


def _create(path: Path) -> None:
    fresh = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "LOOKUP_KEY": secrets.token_urlsafe(48),
        "MQTT_BRIDGE_PASSWORD": secrets.token_urlsafe(32),
    }
    # Written to a temporary file and linked into place: a reader never sees half a file, and the first process wins.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".secrets-")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(fresh, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        try:
            Path(path).hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()
