"""What a file is: its encoding and delimiter, detected or given."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

DELIMITERS = ",;|\t"
SAMPLE_BYTES = 64 * 1024
READ_BYTES = 256 * 1024

# Files that people upload by mistake, by their first bytes.
_SIGNATURES = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "an Excel workbook or another ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"SQLite format 3": "an SQLite database",
}
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Control characters that text does not contain. Binary files are full of them; a single one makes only its row invalid.
_BINARY = bytes(range(9)) + bytes(range(14, 32))
_ENCODINGS = {"utf-8": "utf-8-sig", "latin-1": "latin-1", "iso8859-1": "latin-1", "cp1252": "cp1252", "utf-16": "utf-16"}


class UnreadableFile(Exception):
    """The file is not a CSV file. The text is a sentence for the operator that says what it is."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """Encoding, delimiter and header of a file."""

    encoding: str
    delimiter: str
    header: bool = True


def detect(file: BinaryIO, *, encoding: str = "", delimiter: str = "", header: bool = True) -> FileFormat:
    """Return the format of `file`, which is read from its start. Only what is not given is detected.

    Raises UnreadableFile if it is not text, is empty, or does not have the given encoding.
    """
    file.seek(0)
    sample = file.read(SAMPLE_BYTES)
    if not sample.strip():
        raise UnreadableFile("The file is empty.")
    _refuse_other_kinds(sample)
    found = _named(encoding) if encoding else _marked(sample) or _found(file, sample)
    text = codecs.getincrementaldecoder(found)(errors="replace").decode(sample)
    if delimiter and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UnreadableFile("The delimiter must be one character: a comma, a semicolon, a bar, a tab.")
    return FileFormat(found, delimiter or _delimiter(text), header)


def _refuse_other_kinds(sample: bytes) -> None:
    for signature, kind in _SIGNATURES.items():
        if sample.startswith(signature):
            raise UnreadableFile(f"The file is {kind}. Export the list as CSV and upload that.")


def _named(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        name = ""
    if name in ("utf-16-le", "utf-16-be", "utf-8-sig"):
        return name
    if name not in _ENCODINGS:
        raise UnreadableFile(f"The encoding {encoding[:40]!r} is unknown; use UTF-8, UTF-16 or Latin-1.")
    return _ENCODINGS[name]


def _marked(sample: bytes) -> str:
    return next((name for mark, name in _BYTE_ORDER_MARKS.items() if sample.startswith(mark)), "")


def _found(file: BinaryIO, sample: bytes) -> str:
    pairs = len(sample) // 2
    if sample[1::2].count(0) > 0.4 * pairs:
        return "utf-16-le"
    if sample[::2].count(0) > 0.4 * pairs:
        return "utf-16-be"
    strange = len(sample) - len(sample.translate(None, delete=_BINARY))
    if strange > max(8, 0.02 * len(sample)):
        raise UnreadableFile("The file contains binary data. Export the list as CSV and upload that.")
    # Windows calls its code page 1252 Latin-1. A byte that 1252 does not have means real Latin-1.
    return next((name for name in ("utf-8-sig", "cp1252") if _is_valid(file, name)), "latin-1")


def _is_valid(file: BinaryIO, encoding: str) -> bool:
    """Return whether all of `file` is valid in `encoding`, in bounded memory."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for part in blocks(file):
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """Return the bytes of `file` from its start, in blocks."""
    file.seek(0)
    while block := file.read(READ_BYTES):
        yield block


def _delimiter(text: str) -> str:
    """Return the delimiter that gives the first rows the same, largest number of fields."""
    return max(DELIMITERS, key=lambda delimiter: _fit(text, delimiter))


def _fit(text: str, delimiter: str) -> tuple[float, int]:
    lengths = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if row:
                lengths.append(len(row))
            if len(lengths) == 50:
                break
    except csv.Error:
        return 0, 0
    if not lengths or lengths[0] == 1:
        return 0, 0
    return lengths.count(lengths[0]) / len(lengths), lengths[0]
