"""The names in a list of devices: one a line, or the column of a CSV file that holds them."""

from collections.abc import Iterator
from typing import BinaryIO

from core.text import MAX_TEXT_LENGTH, has_control_characters
from imports.columns import Column, ColumnType, guessed
from imports.csv.file_format import UnreadableFile, detect
from imports.csv.records import Records


def device_names(file: BinaryIO) -> list[str]:
    """Return the names, trimmed, in the order of the file. Raises UnreadableFile if a line has no usable name."""
    names = []
    for line, text in _texts(file):
        name = text.strip()
        if not name or len(name) > MAX_TEXT_LENGTH or has_control_characters(name):
            raise UnreadableFile(f"Line {line}: a name has 1 to {MAX_TEXT_LENGTH} characters, no control characters among them.")
        names.append(name)
    return names


def _texts(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield the number of each line and its text for the name."""
    form = detect(file)
    records = Records(file, form)
    columns = [guessed(header) for header in records.headers]
    if Column(ColumnType.NAME) in columns:
        place = columns.index(Column(ColumnType.NAME))
        for record in records:
            if record.problem:
                raise UnreadableFile(f"Line {record.line}: {record.problem}")
            yield record.line, record.fields[place] if place < len(record.fields) else ""
        return
    file.seek(0)
    for number, line in enumerate(file.read().decode(form.encoding, "replace").splitlines(), start=1):
        if line.strip():
            yield number, line
