"""The records of a CSV file as a stream: one bad record spoils none of the others."""

import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from imports.columns import REJECTED_HEADERS
from imports.csv.file_format import FileFormat
from imports.csv.formulas import restored

# Longer than any row of a list of devices, a certificate in it included. A file without line ends is not read whole.
MAX_LINE_LENGTH = 1024 * 1024


class Record(NamedTuple):
    """One row of a file, from its line `line` to `end_line`, the first being 1. With a `problem` it could not be read."""

    line: int
    end_line: int
    fields: list[str]
    problem: str = ""


class Records:
    """The records of `file`, which is read from its start. `headers` are the fields of the first one, where it has them."""

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
            self.headers = first.fields if first else []
            self._rejected_before = tuple(self.headers[-2:]) == REJECTED_HEADERS
            self.headers = self._restored(self.headers)

    def __iter__(self) -> Iterator[Record]:
        """Return the records after the header; blank lines are left out."""
        for record in self._records():
            if self._rejected_before:
                yield Record(record.line, record.end_line, self._restored(record.fields), record.problem)
            else:
                yield record

    def position(self) -> int:
        """Return up to which byte the file has been read, about."""
        return self._text.buffer.tell()

    def _restored(self, fields: list[str]) -> list[str]:
        # The file is one of ours, mended: what we wrote against spreadsheets is taken off again.
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
            if any(fields) and any(map(str.strip, fields)):
                yield Record(start, self._lines.number, fields)


def _sentence(err: csv.Error) -> str:
    # The reader's own words speak of its limits and states. An open quote swallows all up to the limit.
    if "expected after" in str(err):
        return "A quote stands inside a quoted field; write it twice."
    return "A quote is opened and not closed, or a field is too long."


class _LineTooLong(Exception):
    pass


class _Lines:
    """The lines of a text, numbered from 1, that can be taken back up to the beginning of the record in hand."""

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
