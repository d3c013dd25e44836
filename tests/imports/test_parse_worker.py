"""Rows prepared in a second process are those prepared in this one."""

import os
import signal
from dataclasses import fields

import pytest

from core.encryption import decrypt
from imports.columns import Column, ColumnType, mapped
from imports.csv.records import Record
from imports.parse_worker import ParseWorker
from imports.row_parser import RowParser
from tests.support.imports import certificate_pem

HEADERS = ["name", "token", "user name", "certificate", "fw", "volts", "gateway", "label", "type", "description"]
COLUMNS = mapped(HEADERS, {"volts": Column(ColumnType.TIMESERIES, "V"), "fw": Column(ColumnType.SHARED_ATTRIBUTE, "fw")})


def records(count: int) -> list[Record]:
    rows = [
        ["a", "t1", "", "", "1.5", "true", "yes", "Label", "Profile", "Text"],
        ["b", "", "user", "", "x", "", "", "", "", ""],
        ["c", "", "", certificate_pem(), "", "", "", "", "", ""],
        ["", "t", "", "", "", "", "", "", "", ""],
        ["d", "", "", "no", "", "", "", "", "", ""],
        ["e"],
    ]
    return [Record(line, line, rows[line % len(rows)]) for line in range(count)]


def essence(rows):
    """Return what must be equal; the same token is encrypted differently each time."""
    return [
        (*(getattr(row, one.name) for one in fields(row) if one.name not in ("stored", "refusal")), str(row.refusal))
        + ((row.stored.credentials, row.stored.id, decrypt(row.stored.value)) if row.stored else ())
        for row in rows
    ]


@pytest.fixture
def batches():
    made = records(60)
    return [made[start : start + 10] for start in range(0, 60, 10)]


def test_second_process_prepares_the_same_rows_in_the_same_order(batches):
    parser = RowParser(COLUMNS, HEADERS)

    with ParseWorker(parser) as worker:
        prepared = list(worker.rows(iter(batches)))
        child = worker._process

    assert child is not None, "there was a second process"
    assert child.poll() is not None, "it is gone"
    assert [batch for batch, _ in prepared] == batches
    assert [essence(rows) for _, rows in prepared] == [essence([parser.parse(one) for one in batch]) for batch in batches]


def test_second_process_that_dies_is_done_without(batches):
    parser = RowParser(COLUMNS, HEADERS)
    prepared = []

    with ParseWorker(parser) as worker:
        for number, (_, rows) in enumerate(worker.rows(iter(batches))):
            prepared += rows
            if number == 2:
                os.kill(worker._process.pid, signal.SIGKILL)

    assert [row.record.line for row in prepared] == list(range(60))


def test_short_list_starts_no_process(batches):
    with ParseWorker(RowParser(COLUMNS, HEADERS)) as worker:
        assert len(list(worker.rows(iter(batches[:1])))) == 1
        assert worker._process is None
    with ParseWorker(RowParser(COLUMNS, HEADERS)) as worker:
        assert list(worker.rows(iter([]))) == []


def test_sealed_credentials_show_no_secret_in_their_repr():
    row = RowParser(COLUMNS, HEADERS).parse(records(1)[0])

    assert "t1" not in repr(row.stored)
