"""The records of a CSV file as a stream. A bad record does not affect the others."""

import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from imports.columns import REFUSED_HEADERS
from imports.csv.file_format import FileFormat, UnreadableFile
from imports.csv.formulas import restored

# Longer than any real row, including a certificate. A file without line ends must not be read as a whole.
MAX_LINE_LENGTH = 1024 * 1024
# Far more than a device has values. Columns have a page and settings of their own, so they are bounded early.
MAX_COLUMNS = 1_000


class Record(NamedTuple):
    """One row of a file, from `line` to `end_line`, counted from 1. With a `problem` it could not be read."""

    line: int
    end_line: int
    fields: list[str]
    problem: str = ""


class Records:
    """The records of `file`, which is read from its start. `headers` are the fields of the header line, if there is one.

    Raises UnreadableFile if the header line is too long or has too many columns.
    """

    def __init__(self, file: BinaryIO, form: FileFormat) -> None:
        file.seek(0)
        text = io.TextIOWrapper(file, form.encoding, errors="replace", newline="")
        self._text = text
        self._lines = _Lines(text)
        self._reader = csv.reader(self._lines, delimiter=form.delimiter, strict=True)
        self.headers: list[str] = []
        self._rejected_before = False
        if form.header:
            first = next(self._records(), None)
            if first and first.problem and not first.fields:
                raise UnreadableFile(f"The file has no usable header. {first.problem}")
            self.headers = first.fields if first else []
            self._rejected_before = tuple(self.headers[-2:]) == REFUSED_HEADERS
            self.headers = self._restored(self.headers)

    def __iter__(self) -> Iterator[Record]:
        """Return the records after the header, without blank lines."""
        for record in self._records():
            if self._rejected_before:
                yield Record(record.line, record.end_line, self._restored(record.fields), record.problem)
            else:
                yield record

    def position(self) -> int:
        """Return approximately how many bytes of the file have been read."""
        return self._text.buffer.tell()

    def _restored(self, fields: list[str]) -> list[str]:
        # A corrected file of refused rows: remove the apostrophes that we added against spreadsheet formulas.
        return [restored(field) for field in fields] if self._rejected_before else fields

    def _records(self) -> Iterator[Record]:
        while True:
            start = self._lines.begin_record()
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as err:
                fields = [self._lines.first_line()]
                yield Record(start, start, fields, _sentence(err))
                self._lines.return_all_but_first()
                continue
            except _LineTooLong:
                yield Record(start, start, [], f"The line has more than {MAX_LINE_LENGTH} characters.")
                continue
            if len(fields) > MAX_COLUMNS:
                yield Record(start, self._lines.number, [], f"The row has {len(fields):,} columns; {MAX_COLUMNS:,} is the most.")
            elif any(fields) and any(map(str.strip, fields)):
                yield Record(start, self._lines.number, fields)


def _sentence(err: csv.Error) -> str:
    # The reader's own messages are about its limits and states. An open quote swallows everything up to the limit.
    if "expected after" in str(err):
        return "A quoted field contains a quote; write it twice."
    return "A quote is not closed, or a field is too long."


class _LineTooLong(Exception):
    pass


class _Lines:
    """The numbered lines of a text, from 1. Can go back to the start of the current record."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._taken: list[str] = []
        self._returned: deque[str] = deque()
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else self._text.readline(MAX_LINE_LENGTH)
        if not line:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        if len(line) == MAX_LINE_LENGTH and line[-1] not in "\r\n":
            self._skip_rest()
            raise _LineTooLong
        return line

    def begin_record(self) -> int:
        """Return the number of the next line."""
        self._taken.clear()
        return self.number + 1

    def first_line(self) -> str:
        return self._taken[0].rstrip("\r\n")

    def return_all_but_first(self) -> None:
        again = self._taken[1:]
        self._returned.extendleft(reversed(again))
        self.number -= len(again)

    def _skip_rest(self) -> None:
        while (rest := self._text.readline(MAX_LINE_LENGTH)) and rest[-1] not in "\r\n":
            pass
