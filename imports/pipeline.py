"""Reading a file and importing its rows, chunk by chunk, each chunk in a transaction of its own."""

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

# Rows committed together. Larger chunks are hardly faster, and SQLite's one writer keeps the devices waiting meanwhile.
CHUNK_ROWS = 2_500
# A chunk of long rows has fewer: some are in memory at once, several times over.
CHUNK_CHARACTERS = 4_000_000
# How often a chunk starts over when another process was first to take a name, a token or a lock.
MAX_TRIES = 8


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """What to import and how. `profile` is that of rows which name none; `job_id` is noted on every device created."""

    form: FileFormat
    columns: list[Column]
    profile: DeviceProfile | None = None
    update: bool = False
    dry_run: bool = False
    job_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """What became of some rows in a row; the file is done up to its line `end_line` and byte `end_byte`."""

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

    `before_commit` writes what is to be committed together with a chunk; what it raises rolls the chunk back and ends the import.
    `on_commit` is called with the chunk once it is committed. A dry run decides everything and writes nothing.
    """
    records = Records(file, spec.form)
    parser = RowParser(spec.columns, records.headers)
    with closing(SeenRows()) as seen, bulk.many_writes(), rarely_collected(), ParseWorker(parser) as worker:
        todo = _skipped(iter(records), parser, seen, after_line)
        # A list of new devices need not be compared with what is there: the unique constraints do that as it is written.
        reading = spec.update or spec.dry_run
        for batch, rows in worker.rows(_chunks(todo)):
            repeated = seen.repeated_names(rows)
            work = partial(_import, rows, repeated, parser, spec, seen)
            chunk, reading = _commit(work, batch[-1].end_line, records.position(), before_commit, reading=reading)
            on_commit(chunk)


def _skipped(records: Iterator[Record], parser: RowParser, seen: SeenRows, after_line: int) -> Iterator[Record]:
    """Return the records after `after_line`; of the others, the names alone matter."""
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
    """Do `work` and note it in one transaction, anew when something in it is taken or another process interferes.

    Returns the chunk, and whether the next one had better begin with reading, since the list has what is there already.
    """
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            with transaction.atomic():
                chunk = Chunk(work(reading=reading), end_line, end_byte)
                before_commit(chunk)
            return chunk, reading
        except IntegrityError:
            # A name or a token is taken, maybe between our reading and our writing. Reading shows by whom.
            if not tries_left:
                raise
            reading = True
        except OperationalError:
            # A deadlock or a lock that did not come: the connection stands, so start over. Else the database is away.
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
