"""Parsing rows in a second process: reading their fields, checking and encrypting them is half the work of an import.

A process of its own and not a pool: it ends with its standard input, also when the importing process is killed. What
goes through the pipes never leaves this machine's memory.
"""

import marshal
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import chain
from operator import attrgetter
from typing import IO, Any, Self

from django.conf import settings

from imports.columns import Column, ColumnType
from imports.csv.records import Record
from imports.gc_tuning import rarely_collected
from imports.row_parser import DeviceRow, RowParser, RowRefused, StoredCredentials

Batch = list[Record]
# One batch is parsed while the other is written.
IN_FLIGHT = 2
# Settings first: they make Django's classes subscriptable. No app is loaded, which saves a second.
_PROGRAM = "from django.conf import settings; settings.DEBUG; from imports.parse_worker import main; main()"
# The fields of a row that pass through a pipe as they are: all between its record, and its credentials and refusal.
_plain = attrgetter(*[one.name for one in fields(DeviceRow)][1:-2])


class ParseWorker:
    """Parses batches of records in a second process, if there is more than one batch and more than one core.

    If the second process dies, the import continues without it.
    """

    def __init__(self, parser: RowParser) -> None:
        self._parser = parser
        self._process: subprocess.Popen[bytes] | None = None
        self._parsed: queue.Queue[list[Any] | None] = queue.Queue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()

    def rows(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, list[DeviceRow]]]:
        """Return each batch with its rows, in order."""
        first = next(batches, None)
        if first is None:
            return
        second = next(batches, None)
        if second and (os.cpu_count() or 1) > 1:
            self._start()
        # The process takes a moment to start.
        yield first, self._inline(first)
        batches = chain([second] if second else [], batches)
        sent: deque[Batch] = deque()
        while True:
            while len(sent) < IN_FLIGHT and (batch := next(batches, None)):
                sent.append(batch)
                self._send(batch)
            if not sent:
                return
            packed = self._parsed.get() if self._process else None
            batch = sent.popleft()
            if packed is None:
                self._process = None
                yield batch, self._inline(batch)
            else:
                yield batch, [_unpacked(record, row) for record, row in zip(batch, packed, strict=True)]

    def _inline(self, batch: Batch) -> list[DeviceRow]:
        return [self._parser.parse(record) for record in batch]

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=settings.BASE_DIR
        )
        self._put(self._parser.description())
        threading.Thread(target=self._receive, args=(self._process,), daemon=True, name="parsed rows").start()

    def _send(self, batch: Batch) -> None:
        self._put([(record.line, record.end_line, record.fields, record.problem) for record in batch])

    def _put(self, message: Any) -> None:
        if not self._process or not self._process.stdin:
            return
        try:
            _write(message, self._process.stdin)
        except OSError:
            # The process died; _receive sees the end of its output, and the rows are parsed here.
            return

    def _receive(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        try:
            while True:
                self._parsed.put(_read(process.stdout))
        except (EOFError, ValueError, OSError):
            self._parsed.put(None)


def _packed(row: DeviceRow) -> tuple[Any, ...]:
    """Return `row` as plain types, without its record."""
    return (
        _plain(row),
        tuple(row.stored) if row.stored else None,
        (row.refusal.sentence, row.refusal.column) if row.refusal else None,
    )


def _unpacked(record: Record, packed: Sequence[Any]) -> DeviceRow:
    plain, stored, refusal = packed
    values = [record, *plain, StoredCredentials(*stored) if stored else None, RowRefused(*refusal) if refusal else None]
    return DeviceRow(*values)


def _write(message: Any, pipe: IO[bytes]) -> None:
    content = marshal.dumps(message)
    pipe.write(len(content).to_bytes(8, "big") + content)
    pipe.flush()


def _read(pipe: IO[bytes]) -> Any:
    """Return the next message. Raises EOFError.

    Two reads: marshal itself would read a pipe byte by byte, and the importing thread would wait for the interpreter's
    lock all the time.
    """
    header = pipe.read(8)
    if len(header) < 8:
        raise EOFError
    return marshal.loads(pipe.read(int.from_bytes(header, "big")))  # noqa: S302 - from our own process


def main() -> None:
    """Parse batches from standard input until it ends."""
    columns, headers = _read(sys.stdin.buffer)
    parser = RowParser([Column(ColumnType(word), key) for word, key in columns], headers)
    with rarely_collected():
        while True:
            try:
                batch = _read(sys.stdin.buffer)
            except EOFError:
                return
            _write([_packed(parser.parse(Record(*fields))) for fields in batch], sys.stdout.buffer)
