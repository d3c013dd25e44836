"""Reads a file and imports its rows in chunks, each in a transaction of its own."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO
from uuid import UUID

from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from imports import bulk
from imports.choices import Verdict
from imports.columns import Column
from imports.csv.file_format import FileFormat
from imports.csv.records import Record, Records
from imports.gc_tuning import rarely_collected
from imports.parse_worker import ParseWorker
from imports.planner import Decision, decide
from imports.row_parser import DeviceRow, RowParser
from imports.seen import SeenRows
from imports.writer import read_ledger, write
from profiles.models import DeviceProfile

log = logging.getLogger(__name__)

# Rows committed together. Larger chunks are hardly faster, and on SQLite devices wait for the only writer meanwhile.
CHUNK_ROWS = 2_500
# A chunk of long rows has fewer, since several chunks are in memory at once.
CHUNK_CHARACTERS = 4_000_000
# How often a chunk starts over if another process was first to take a name, a token or a lock.
MAX_TRIES = 8


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """What to import and how. `profile` is for rows that name none; `job_id` is stored with every device created."""

    form: FileFormat
    columns: list[Column]
    profile: DeviceProfile | None = None
    update: bool = False
    dry_run: bool = False
    job_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """The decisions on consecutive rows. The file is processed up to line `end_line` and byte `end_byte`."""

    decisions: list[Decision]
    end_line: int
    end_byte: int

    def count(self, verdict: Verdict) -> int:
        return sum(decision.verdict == verdict for decision in self.decisions)


def import_file(
    file: BinaryIO,
    spec: ImportSpec,
    *,
    before_commit: Callable[[Chunk], None] = lambda _: None,
    on_commit: Callable[[Chunk], None] = lambda _: None,
    after_line: int = 0,
) -> None:
    """Import the rows of `file` that come after `after_line`, and close it.

    `before_commit` writes what must be committed together with a chunk. An exception in it rolls the chunk back and ends
    the import. `on_commit` is called with each chunk after its commit. A dry run decides everything and writes nothing.
    """
    records = Records(file, spec.form)
    parser = RowParser(spec.columns, records.headers)
    with closing(SeenRows()) as seen, bulk.many_writes(), rarely_collected(), ParseWorker(parser) as worker:
        todo = _skipped(iter(records), parser, seen, after_line)
        # A list of new devices is written without reading first: the unique constraints detect what exists.
        reading = spec.update or spec.dry_run
        for batch, rows in worker.rows(_chunks(todo)):
            repeated = seen.repeated_names(rows)
            work = partial(_import, rows, repeated, parser, spec, seen)
            chunk, reading = _commit(work, batch[-1].end_line, records.position(), before_commit, reading=reading)
            on_commit(chunk)


def _skipped(records: Iterator[Record], parser: RowParser, seen: SeenRows, after_line: int) -> Iterator[Record]:
    """Return the records after `after_line`. Of the earlier ones only the names matter."""
    if after_line:
        for record in records:
            if record.line > after_line:
                yield record
                break
            seen.repeated_names([parser.named(record)])
    yield from records


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    characters = 0
    for record in records:
        chunk.append(record)
        characters += sum(map(len, record.fields))
        if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _commit(
    work: Callable[..., list[Decision]], end_line: int, end_byte: int, before_commit: Callable[[Chunk], None], *, reading: bool
) -> tuple[Chunk, bool]:
    """Do `work` and save the progress in one transaction; start over on a conflict with another process.

    Returns the chunk, and whether the next one should read first, since the list contains existing devices.
    """
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            with transaction.atomic():
                chunk = Chunk(work(reading=reading), end_line, end_byte)
                before_commit(chunk)
            return chunk, reading
        except IntegrityError:
            # A name or token is taken, possibly since we read. Reading again shows by which device.
            if not tries_left:
                raise
            reading = True
        except OperationalError:
            # A deadlock or lock timeout: the connection is fine, so start over. Otherwise the database is unavailable.
            if not tries_left or not connection.is_usable():
                raise
    raise AssertionError("unreachable")


def _import(
    rows: list[DeviceRow], repeated: dict[int, int], parser: RowParser, spec: ImportSpec, seen: SeenRows, *, reading: bool
) -> list[Decision]:
    ledger = read_ledger(
        rows,
        repeated,
        reading=reading,
        parser=parser,
        update=spec.update,
        default_profile=spec.profile,
        would_own=seen if spec.dry_run else None,
    )
    decisions = decide(rows, ledger)
    if spec.dry_run:
        seen.take_owners(ledger.owners)
    else:
        write(decisions, job_id=spec.job_id, now=timezone.now())
    return decisions
