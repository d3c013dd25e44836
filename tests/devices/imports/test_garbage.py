"""The collector of cycles runs rarely while rows are imported, and as before afterwards."""

import gc

from devices.imports.garbage import rarely_collected


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


def test_collector_is_as_before_afterwards():
    before = gc.get_threshold()
    with rarely_collected():
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before
