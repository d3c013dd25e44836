"""Room for blocks: bounded, and a flood displaces itself before anybody else."""

import pytest

from transports.coap import transfers as module
from transports.coap.transfers import LIFETIME_S, TransferKey, Transfers

BLOCK = bytes(1024)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def room(clock):
    return Transfers(clock)


def key(source, number=0):
    return TransferKey(source, number)


def test_body_is_kept_until_its_sender_has_given_up(room, clock):
    room.put(key("a"), b"1")
    room.put(key("a"), b"12")
    clock.now += LIFETIME_S

    assert room.get(key("a")) == b"12"
    assert room.get(key("b")) is None
    clock.now += 1
    assert room.get(key("a")) is None


def test_flood_of_one_address_displaces_only_its_own_first_blocks(room, clock):
    room.put(key("honest"), BLOCK)
    room.put(key("flood", "goes on"), BLOCK)
    room.put(key("flood", "goes on"), BLOCK * 2)
    for number in range(9_000):
        clock.now += 0.001
        room.put(key("flood", number), BLOCK)

    assert room.get(key("honest")) == BLOCK
    assert room.get(key("flood", "goes on")) == BLOCK * 2
    assert room._bytes["flood"] <= module.ROOM_PER_SOURCE_BYTES


def test_flood_of_many_addresses_displaces_no_transfer_that_goes_on(room, clock):
    room.put(key("honest"), BLOCK)
    room.put(key("honest"), BLOCK * 2)
    for number in range(20_000):
        clock.now += 0.001
        room.put(key(f"forged-{number}"), BLOCK)

    assert room.get(key("honest")) == BLOCK * 2
    assert room._total == sum(room._bytes.values()) <= module.ROOM_BYTES


def test_expired_transfers_make_way_first(room, clock, monkeypatch):
    monkeypatch.setattr(module, "ROOM_PER_SOURCE_BYTES", 10 * 2_024)
    for number in range(9):
        room.put(key("a", number), BLOCK)
        room.put(key("a", number), BLOCK + b"x")
    clock.now += LIFETIME_S + 1
    for number in range(9, 12):
        room.put(key("a", number), BLOCK)

    assert [number for number in range(12) if room.get(key("a", number))] == [9, 10, 11]


def test_nothing_is_counted_any_more_once_all_are_gone(room):
    room.put(key("a"), BLOCK)
    room.put(key("a"), BLOCK * 2)
    room.pop(key("a"))
    room.pop(key("a"))

    assert (room._bytes, room._total) == ({}, 0)
