"""Folders and files for their owner only: the database and the task queue of an installation hold secrets."""

import contextlib
from pathlib import Path
from typing import Any

_OTHERS = 0o077


def make_private_folder(folder: Path) -> None:
    """Make `folder`, and what is missing above it, for the owner only. Raises OSError."""
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir(mode=0o700, exist_ok=True)


def make_private(path: Path) -> None:
    """Take away what the mode of `path` allows to others than its owner, if it is there and ours."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        mode = path.stat().st_mode
        if mode & _OTHERS:
            path.chmod(mode & 0o7700)


def protect_database(connection: Any, **_: Any) -> None:
    """Make the files of an SQLite database private. A receiver of Django's `connection_created`."""
    if connection.vendor == "sqlite":
        for suffix in ("", "-wal", "-shm"):
            make_private(Path(f"{connection.settings_dict['NAME']}{suffix}"))
