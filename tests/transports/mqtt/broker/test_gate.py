"""Who gets a place when there are not enough."""

import pytest

from transports.mqtt.broker.gate import Gate, Limits

LIMITS = Limits(total=20, provisioning=16, provisioning_per_address=5, devices=18, pending_per_address=5)
ATTACKER, HONEST = "192.0.2.66", "192.0.2.1"


@pytest.fixture
def gate():
    return Gate(LIMITS)


@pytest.fixture
def enter(gate):
    """Let a connection in, and out again when it is closed."""
    closed = []

    def once(address):
        place = gate.enter(address, lambda: closed.append(place))
        return place

    once.closed = closed
    return once


def test_address_that_provisions_takes_no_more_than_its_share(enter):
    assert [enter(ATTACKER).provisions() for _ in range(8)] == [True] * 5 + [False] * 3
    assert enter(HONEST).provisions()


def test_addresses_of_one_ipv6_network_share_what_one_address_may_have(enter):
    assert [enter(f"2001:db8::{number}").provisions() for number in range(8)] == [True] * 5 + [False] * 3
    assert enter("2001:db8:0:1::1").provisions()


def test_many_addresses_that_provision_leave_room_for_devices_and_bridge(enter):
    taken = [enter(f"192.0.2.{number}").provisions() for number in range(40)]

    assert sum(taken) == LIMITS.provisioning
    assert enter(HONEST).is_device()
    assert enter(HONEST).is_bridge()


def test_devices_leave_room_for_a_bridge(enter):
    assert sum(enter(HONEST).is_device() for _ in range(30)) == LIMITS.devices
    assert enter(HONEST).is_bridge()


def test_silent_connections_of_one_address_make_way_for_one_another_only(enter, gate):
    waiting = enter(HONEST)
    silent = [enter(ATTACKER) for _ in range(100)]

    assert enter.closed == silent[:95]
    assert gate.taken == 6
    assert waiting.provisions()


def test_silent_connections_of_many_addresses_make_way_for_the_newest(enter, gate):
    silent = [enter(f"192.0.2.{number}") for number in range(100)]

    assert enter.closed == silent[:80]
    assert enter(HONEST).is_device()
    assert gate.taken == LIMITS.total


def test_connection_that_made_way_gets_no_place_any_more(enter):
    first, *_ = [enter(ATTACKER) for _ in range(6)]

    assert not first.provisions()
    assert not first.is_device()


def test_place_that_is_left_is_free_again(enter, gate):
    places = [enter(ATTACKER) for _ in range(5)]
    assert all(place.provisions() for place in places)

    for place in places:
        place.leave()
        place.leave()

    assert gate.taken == 0
    assert enter(ATTACKER).provisions()


def test_full_house_of_known_clients_refuses_the_next(enter):
    assert all(enter(HONEST).is_bridge() for _ in range(LIMITS.total))

    assert enter(HONEST) is None
