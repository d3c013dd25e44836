"""The collector of cycles runs rarely while rows are imported, and as before afterwards."""

import gc

import pytest

from imports.choices import Verdict
from imports.columns import Column, ColumnType
from imports.csv.records import Record
from imports.gc_tuning import rarely_collected
from imports.planner import Ledger, decide
from imports.row_parser import RowParser


class Cycle:
    alive = 0

    def __init__(self):
        self.me = self
        Cycle.alive += 1

    def __del__(self):
        Cycle.alive -= 1


def test_garbage_does_not_pile_up():
    with rarely_collected():
        for _ in range(500_000):
            Cycle()
        assert Cycle.alive < 300_000


@pytest.mark.parametrize("fields", [["", "token-1"], ["a"], ["a\0", "token-1"], ["a", "t"], ["a" * 300, "token-1"]])
def test_refused_row_is_no_garbage(fields):
    parser = RowParser([Column(ColumnType.NAME), Column(ColumnType.ACCESS_TOKEN)])
    ledger = Ledger(parser, False, None, {}, {}, {}, {})
    gc.collect()
    gc.disable()
    try:
        for line in range(50):
            (decision,) = decide([parser.parse(Record(line, line, fields))], ledger)
            assert decision.verdict == Verdict.REFUSED
        del decision
        assert gc.collect() < 50
    finally:
        gc.enable()


def test_collector_is_as_before_afterwards():
    before = gc.get_threshold()
    with rarely_collected():
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before
