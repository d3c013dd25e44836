"""Inserts many rows of one table at once: COPY on PostgreSQL, executemany elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Field, Model
from uuid_utils import uuid7

# A negative value is in KiB, a positive one in pages.
_SQLITE_TUNING = {"cache_size": -24 * 1024, "wal_autocheckpoint": 8_000}


def insert(model: type[Model], fields: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert `rows`, which hold values for `fields` as the driver expects them: ids as hex, JSON as text.

    Raises IntegrityError if one of them exists already, and then inserts none.
    """
    quote = connection.ops.quote_name
    columns = ", ".join(quote(_column(model, name)) for name in fields)
    table = quote(model._meta.db_table)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Django converts the driver's errors only in its own methods.
            with connection.wrap_database_errors, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(fields))
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(rows))  # noqa: S608 - names of our own models


def new_id() -> str:
    """Return a new UUID of version 7 as hex. Creating Python's UUID first would take four times as long."""
    return uuid7().hex


@contextmanager
def many_writes() -> Iterator[None]:
    """Tune the connection for thousands of rows a second.

    SQLite's page cache of 2 MB is smaller than the index of 20,000 tokens, and a checkpoint every 1,000 pages would run
    after every chunk.
    """
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        before = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in _SQLITE_TUNING}
        for name, value in _SQLITE_TUNING.items():
            cursor.execute(f"PRAGMA {name} = {value}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for name, value in before.items():
                cursor.execute(f"PRAGMA {name} = {value}")


def moment(now: datetime) -> Any:
    """Return `now` as the database driver expects it."""
    return connection.ops.adapt_datetimefield_value(now)


def _column(model: type[Model], name: str) -> str:
    field = model._meta.get_field(name)
    assert isinstance(field, Field)
    return str(field.column)
