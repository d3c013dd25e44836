"""Statements that PostgreSQL plans once per connection: those that every batch runs."""

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection


def fetch(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of `statement`. Raises what Django raises for an error of the database."""
    # A cursor of psycopg itself: Django's binds on the client's side, and so has each statement parsed and planned anew.
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement, parameters).fetchall()
