"""One source that asks very often waits for itself only."""

import asyncio

import pytest

from provisioning.errors import Unavailable
from transports.fair_turns import FairTurns


def test_calls_beyond_its_share_wait_for_the_same_source_only():
    async def scenario():
        turns, release, through = FairTurns(2, 98), asyncio.Event(), []

        async def call(address):
            async with turns.turn(address):
                through.append(address)
                await release.wait()

        calls = [asyncio.ensure_future(call("192.0.2.66")) for _ in range(100)]
        calls.append(asyncio.ensure_future(call("192.0.2.1")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await call("192.0.2.66")
        assert sorted(through) == ["192.0.2.1", "192.0.2.66", "192.0.2.66"]

        release.set()
        await asyncio.gather(*calls)
        assert (len(through), len(turns)) == (101, 0)

    asyncio.run(scenario())


def test_call_that_gives_up_leaves_no_trace():
    async def scenario():
        turns = FairTurns(1, 1)
        async with turns.turn("2001:db8::1"):
            try:
                async with asyncio.timeout(0), turns.turn("2001:db8::2"):
                    raise AssertionError("it is the other call's turn")
            except TimeoutError:
                pass
            assert len(turns) == 1
        assert len(turns) == 0

    asyncio.run(scenario())
