"""How the database executed a query: which tables did it read completely?"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext


@dataclass
class Plans:
    """The plans of the statements that were run.

    `statements` counts them, `scanned` names tables that were read whole, `nested` has the tables of each nested loop (on
    PostgreSQL; SQLite joins in no other way).
    """

    statements: int = 0
    scanned: set[str] = field(default_factory=set)
    nested: list[set[str]] = field(default_factory=list)


@contextmanager
def plans() -> Iterator[Plans]:
    """Watch what this thread's connection does; the result is complete on exit."""
    found = Plans()
    with _postgres_plans(found) if connection.vendor == "postgresql" else _sqlite_plans(found):
        yield found


@contextmanager
def _postgres_plans(found: Plans) -> Iterator[None]:
    """The plans that were used indeed, those of prepared statements and foreign key checks among them: auto_explain."""

    def note(diagnostic: Any) -> None:
        _, _, plan = (diagnostic.message_primary or "").partition("plan:\n")
        if plan:
            found.statements += 1
            tree = json.loads(plan)["Plan"]
            found.scanned |= {node["Relation Name"] for node in _nodes(tree) if node["Node Type"] == "Seq Scan"}
            found.nested += [_tables(node) for node in _nodes(tree) if node["Node Type"] == "Nested Loop"]

    connection.ensure_connection()
    settings = {"log_min_duration": 0, "log_format": "json", "log_level": "notice", "log_nested_statements": "on"}
    with connection.cursor() as cursor:
        cursor.execute("LOAD 'auto_explain'")
        for name, value in settings.items():
            cursor.execute(f"SET auto_explain.{name} = {value}")
    connection.connection.add_notice_handler(note)
    try:
        yield
    finally:
        # A prepared SELECT ends, and its plan is noted, only when the next statement begins.
        with connection.cursor() as cursor:
            cursor.execute("SET auto_explain.log_min_duration = -1")
        connection.connection.remove_notice_handler(note)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _tables(node: dict[str, Any]) -> set[str]:
    return {one["Relation Name"] for one in _nodes(node) if "Relation Name" in one}


@contextmanager
def _sqlite_plans(found: Plans) -> Iterator[None]:
    with CaptureQueriesContext(connection) as captured:
        yield
    for query in captured.captured_queries:
        if not re.match("SELECT|INSERT|UPDATE|DELETE", query["sql"]):
            continue
        found.statements += 1
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"].replace("%", "%%"), [])
            details = [row[3] for row in cursor.fetchall()]
        found.scanned |= {match[1] for detail in details if (match := re.match(r"SCAN (\w+_\w+)", detail))}
