"""Uploaded files, stored in the database in parts while an import needs them."""

import io
import zlib
from collections.abc import Iterable
from typing import BinaryIO, cast

from imports.models import ImportFilePart, ImportJob

PART_BYTES = 256 * 1024


def store(job: ImportJob, blocks: Iterable[bytes]) -> int:
    """Store `blocks` as the file of `job`, part by part as they arrive. Returns the size of the file in bytes."""
    size, number, part = 0, 0, bytearray()
    for block in blocks:
        part += block
        size += len(block)
        while len(part) >= PART_BYTES:
            _store_part(job, number, bytes(part[:PART_BYTES]))
            del part[:PART_BYTES]
            number += 1
    if part:
        _store_part(job, number, bytes(part))
    return size


def _store_part(job: ImportJob, number: int, content: bytes) -> None:
    ImportFilePart.objects.create(job=job, number=number, content=zlib.compress(content, 1))


def opened(job: ImportJob) -> BinaryIO:
    """Return the file of `job` as a file object. One part is in memory at a time."""
    return cast(BinaryIO, io.BufferedReader(_StoredFile(job)))


def is_stored(job: ImportJob) -> bool:
    return job.parts.exists()


def drop(job: ImportJob) -> None:
    """Delete the file of `job`."""
    job.parts.all().delete()


class _StoredFile(io.RawIOBase):
    def __init__(self, job: ImportJob) -> None:
        self._job = job
        self._position = 0
        self._number = -1
        self._part = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("The end is found by reading.")
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number, start = divmod(self._position, PART_BYTES)
        if number != self._number:
            parts = self._job.parts.filter(number=number)
            self._part = next((zlib.decompress(part.content) for part in parts), b"")
            self._number = number
        piece = self._part[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)
