"""Turns at something scarce, so that one client that asks very often does not keep the others waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.networks import source_of
from provisioning.errors import Unavailable


class _Source:
    """The calls of one source, those that wait included."""

    def __init__(self, at_once: int) -> None:
        self.turns = asyncio.Semaphore(at_once)
        self.calls = 0


class FairTurns:
    """Lets `at_once` calls of each source through at a time; `max_waiting` further ones wait. For one event loop."""

    def __init__(self, at_once: int, max_waiting: int) -> None:
        self._at_once = at_once
        self._max_calls = at_once + max_waiting
        self._sources: dict[str, _Source] = {}

    def __len__(self) -> int:
        """Return the number of sources that have a call under way."""
        return len(self._sources)

    @asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        """Wait for the turn of a call from `address`, and keep it until the context ends. Raises Unavailable if too many wait."""
        name = source_of(address)
        source = self._sources.setdefault(name, _Source(self._at_once))
        if source.calls >= self._max_calls:
            raise Unavailable("Too many calls of one source are waiting.")
        source.calls += 1
        try:
            async with source.turns:
                yield
        finally:
            source.calls -= 1
            if not source.calls:
                del self._sources[name]
