"""Reading the event log on PostgreSQL, where many transactions write at once.

Neither ids nor transaction ids become visible in order. So a position is a snapshot: it says exactly which
transactions had been committed when it was taken, those that were still open included. A page holds the events that
are visible now and were not in the snapshot of the page before. One index range from the oldest transaction that was
open then finds them (PostgreSQL manual, 9.26.7 "Transaction ID and Snapshot Information Functions").
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import DataError, connection

from events.choices import Kind
from events.page import LoggedEvent, Page

# What changes when this is no longer the database that a position came from: restored to another server or from a dump
# (system identifier, database, table), restored to a point in time or failed over (timeline).
_EPOCH = """concat_ws('-', (SELECT system_identifier FROM pg_control_system()),
                      CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
                      (SELECT oid FROM pg_database WHERE datname = current_database()), 'events_event'::regclass::oid)"""
_NOW = f"""SELECT pg_current_snapshot() AS snapshot, {_EPOCH} AS epoch,
                  (SELECT pruned FROM events_prunemark) AS pruned"""  # noqa: S608 - from the constant above
_PAGE = f"""
    WITH now AS ({_NOW})
    SELECT now.snapshot::text, now.epoch, coalesce(now.pruned, 0), event.*
    FROM now LEFT JOIN LATERAL (
        SELECT transaction_id, id, created_at, kind, device_id, profile_id, data
        FROM events_event
        WHERE (transaction_id, id) > (%(transaction_id)s, %(id)s)
          AND NOT pg_visible_in_snapshot(transaction_id::text::xid8, %(seen)s::pg_snapshot)
          AND pg_visible_in_snapshot(transaction_id::text::xid8, coalesce(%(until)s::pg_snapshot, now.snapshot))
          AND kind = ANY(%(kinds)s)
        ORDER BY transaction_id, id
        LIMIT %(limit)s + 1
    ) AS event ON true"""  # noqa: S608 - from the constants above
_SNAPSHOT = r"\d{1,20}:\d{1,20}:[\d,]*"
_POSITION = re.compile(rf"([0-9A-Fa-f-]+)/({_SNAPSHOT})(?:/({_SNAPSHOT})/(\d+)/(\d+))?")


@dataclass(frozen=True, slots=True)
class _Position:
    """All of snapshot `seen` has been read; on the way to snapshot `until`, also what is up to `transaction_id` and `id`."""

    epoch: str
    seen: str
    until: str | None = None
    transaction_id: int = 0
    id: int = 0

    def __str__(self) -> str:
        parts = (self.epoch, self.seen)
        return "/".join(parts if self.until is None else (*parts, self.until, str(self.transaction_id), str(self.id)))

    @classmethod
    def parse(cls, text: str) -> "_Position | None":
        match = _POSITION.fullmatch(text)
        if match is None:
            return None
        epoch, seen, until, transaction_id, last_id = match.groups()
        return cls(epoch, seen, until, int(transaction_id or seen.partition(":")[0]), int(last_id or 0))

    @property
    def oldest_open(self) -> int:
        return int(self.seen.partition(":")[0])


def page_after(text: str, kinds: list[str], limit: int) -> Page:
    """Return what events/selectors.py promises."""
    position = _Position.parse(text)
    if position is None:
        return _from_now()
    try:
        rows = _fetch(_PAGE, asdict(position) | {"kinds": kinds, "limit": limit})
    except DataError:
        # Like a position, and yet none.
        return _from_now()
    snapshot, epoch, pruned = rows[0][:3]
    if _is_lost(position, snapshot, epoch, pruned):
        return Page([], str(_Position(epoch, snapshot)), missed=True)
    found = [row[3:] for row in rows if row[4] is not None]
    until = position.until or snapshot
    if len(found) > limit:
        last = found[limit - 1]
        reached = _Position(epoch, position.seen, until, last[0], last[1])
        return Page([_event(row) for row in found[:limit]], str(reached), more=True)
    return Page([_event(row) for row in found], str(_Position(epoch, until)), more=position.until is not None)


def needed_from(text: str) -> int | None:
    """Return the transaction id from which on a reader at this position needs events; None if it can use none."""
    position = _Position.parse(text)
    return position.oldest_open if position else None


def oldest_events(limit: int) -> list[tuple[int, datetime, int]]:
    """Return id, time and transaction id of the oldest events, in order. None is younger than a transaction still open."""
    return _fetch(
        """SELECT id, created_at, transaction_id FROM events_event
           WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
           ORDER BY transaction_id, id LIMIT %(limit)s""",
        {"limit": limit},
    )


def drop_foreign_events() -> None:
    """Delete what came with a dump of another server and would pass for new once this one's transaction ids reach it."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM events_event WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        cursor.execute("DELETE FROM events_prunemark WHERE pruned >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint")


def _is_lost(position: _Position, snapshot: str, epoch: str, pruned: int) -> bool:
    """Return whether events may have come and gone unseen: another database, one that was set back, or pruned ones."""
    next_id = int(snapshot.split(":")[1])
    is_set_back = int(position.seen.split(":")[1]) > next_id
    # A mark beyond the next transaction id came with a dump of another server.
    return position.epoch != epoch or is_set_back or position.oldest_open <= pruned < next_id


def _from_now() -> Page:
    ((snapshot, epoch),) = _fetch(f"SELECT snapshot::text, epoch FROM ({_NOW}) AS now", {})  # noqa: S608 - from the constant above
    return Page([], str(_Position(epoch, snapshot)), missed=True)


def _fetch(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _event(row: tuple[Any, ...]) -> LoggedEvent:
    _, event_id, created_at, kind, device_id, profile_id, data = row
    return LoggedEvent(event_id, created_at, Kind(kind), device_id, profile_id, json.loads(data))
