"""A database of its own, migrated, for processes that a test starts: on the engine that the tests run on."""

import os
import secrets
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.environment import DATABASE
from tests.support.web import manage


def installation(folder: Path, **environment: str) -> dict[str, str]:
    """Return the environment of a fresh installation below `folder`, with `environment` on top."""
    url = environment.get("DATABASE_URL") or _database_url(folder)
    settings = os.environ | {"FIRSTLIGHT_DATA": str(folder / "data")} | environment | {"DATABASE_URL": url}
    folder.mkdir(parents=True, exist_ok=True)
    manage(settings, "migrate", "--verbosity", "0")
    return settings


def _database_url(folder: Path) -> str:
    if DATABASE != "postgres":
        return f"sqlite:///{folder / 'firstlight.sqlite3'}"
    server = os.environ["DATABASE_URL"].rpartition("/")[0]
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{server}/{name}"
