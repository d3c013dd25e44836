"""A database of its own, migrated, for processes that a test starts: on the engine that the tests run on."""

import os
import secrets
from pathlib import Path

from tests.support.environment import DATABASE
from tests.support.web import manage


def installation(folder: Path, **environment: str) -> dict[str, str]:
    """Return the environment of a fresh installation below `folder`, with `environment` on top."""
    settings = os.environ | {"FIRSTLIGHT_DATA": str(folder / "data"), "DATABASE_URL": _database_url(folder)} | environment
    folder.mkdir(parents=True, exist_ok=True)
    manage(settings, "migrate", "--verbosity", "0")
    return settings


def _database_url(folder: Path) -> str:
    if DATABASE != "postgres":
        return f"sqlite:///{folder / 'firstlight.sqlite3'}"
    from django.db import connection  # the settings are read from the environment that tests.support.environment makes

    name = f"test_{secrets.token_hex(6)}"
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"
