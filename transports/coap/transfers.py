"""Room for request bodies that arrive block by block, shared so that a flood of forged blocks does not displace genuine ones."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

# RFC 7252 section 4.8.2, MAX_TRANSMIT_WAIT: after so long without a block its sender has given up.
LIFETIME_S = 93.0
ROOM_BYTES = 16 * 1024 * 1024
# What the transfers of one address may take; beyond it they displace each other.
ROOM_PER_SOURCE_BYTES = 2 * 1024 * 1024
# An address that has no more than this is never one that has too much: two of the longest bodies.
FAIR_BYTES = 128 * 1024
# What a transfer costs besides its body.
OVERHEAD_BYTES = 1_000
# How much is kept when room is made, so that it is not made for every block.
_KEPT_SHARE = 7 / 8


class TransferKey(NamedTuple):
    """What the messages of one transfer have in common: the address, and the rest (port, path, Request-Tag)."""

    source: str
    rest: Hashable


@dataclass(slots=True)
class _Transfer:
    body: bytes = field(repr=False)
    blocks: int
    at: float

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD_BYTES


class Transfers:
    """Bodies that have begun, in a bounded room.

    A peer that speaks to us has its second block here within milliseconds; a forged one begins and is never heard of
    again. So what makes way first is the transfers of the address that has most, first blocks before others, oldest first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._transfers: dict[TransferKey, _Transfer] = {}
        self._bytes: dict[str, int] = {}
        self._total = 0

    def get(self, key: TransferKey) -> bytes | None:
        """Return the body so far; None when there is none, or none any more."""
        transfer = self._transfers.get(key)
        if transfer is None or self._clock() - transfer.at > LIFETIME_S:
            return None
        return transfer.body

    def put(self, key: TransferKey, body: bytes) -> None:
        """Keep `body` with its newest block."""
        old = self.pop(key)
        self._transfers[key] = _Transfer(body, old.blocks + 1 if old and len(body) > len(old.body) else 1, self._clock())
        self._count(key.source, self._transfers[key].size)
        if self._bytes[key.source] > ROOM_PER_SOURCE_BYTES:
            self._make_room([one for one in self._transfers if one.source == key.source], ROOM_PER_SOURCE_BYTES)
        if self._total > ROOM_BYTES:
            self._make_room(list(self._transfers), ROOM_BYTES)

    def pop(self, key: TransferKey) -> _Transfer | None:
        """Forget the transfer, and return it."""
        transfer = self._transfers.pop(key, None)
        if transfer:
            self._count(key.source, -transfer.size)
        return transfer

    def _count(self, source: str, size: int) -> None:
        self._total += size
        self._bytes[source] = self._bytes.get(source, 0) + size
        if not self._bytes[source]:
            del self._bytes[source]

    def _make_room(self, keys: list[TransferKey], room: int) -> None:
        """Forget as many of `keys` as is needed for the others to have a part of `room`."""
        now = self._clock()
        fair = max(room / len({key.source for key in keys}), FAIR_BYTES)
        surplus = sum(self._transfers[key].size for key in keys) - int(room * _KEPT_SHARE)

        def worth(key: TransferKey) -> tuple[bool, bool, bool, float]:
            transfer = self._transfers[key]
            is_live = now - transfer.at <= LIFETIME_S
            return is_live, self._bytes[key.source] <= fair, transfer.blocks > 1, transfer.at

        for key in sorted(keys, key=worth):
            if surplus <= 0:
                return
            dropped = self.pop(key)
            surplus -= dropped.size if dropped else 0
