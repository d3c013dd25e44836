"""Database connections that stay open as long as their thread."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Model

Result = TypeVar("Result")
Row = TypeVar("Row", bound=Model)


def retry_stale_connection(read: Callable[[], Result]) -> Result:
    """Return what `read()` returns. If the connection turns out to be dead, try once more on a new one.

    A restart of the database leaves every thread with a dead connection. Django checks connections only when an HTTP
    request begins, which never happens in the threads of a queue, the broker or the CoAP server. Use it for the first
    statement of a task, outside of a transaction. Raises OperationalError while the database is unavailable.
    """
    try:
        return read()
    except (OperationalError, InterfaceError):
        if connection.connection is None or connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return read()


def prepared_rows(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a `statement` that is the same each time. Their values are as the database driver has them.

    PostgreSQL plans it once for each connection. Django's cursor binds on the client's side, so it would be parsed and planned
    each time.
    """
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            return cursor.execute(statement, parameters).fetchall()
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def from_row(model: type[Row], row: Sequence[Any]) -> Row:
    """Return the instance of `model` whose columns are the first of `row`, in the order of the model's fields."""
    fields = model._meta.concrete_fields
    values = list(row[: len(fields)])
    for position, field in enumerate(fields if connection.vendor != "postgresql" else ()):
        # SQLite has neither dates nor ids.
        column = field.get_col(model._meta.db_table)
        for convert in connection.ops.get_db_converters(column):
            values[position] = convert(values[position], column, connection)
    return model.from_db(connection.alias, [field.attname for field in fields], values)
