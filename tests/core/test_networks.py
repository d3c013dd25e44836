"""Addresses are counted by what one attacker may have many of."""

import pytest

from core.networks import source_networks, source_of


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("192.0.2.1", ("192.0.2.1",)),
        ("::ffff:192.0.2.1", ("192.0.2.1",)),
        ("2001:db8:1:2:3:4:5:6", ("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("2001:db8:1:ffff::1", ("2001:db8:1:ffff::/64", "2001:db8:1::/48")),
        ("fe80::1%eth0", ("fe80::/64", "fe80::/48")),
        ("", ()),
        ("evil\0\ud800", ()),
        ("192.0.2.1, 10.0.0.1", ()),
    ],
)
def test_networks_of_address(address, networks):
    assert source_networks(address) == networks


@pytest.mark.parametrize(
    ("address", "source"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("", "")],
)
def test_client_is_an_address_or_the_network_of_one(address, source):
    assert source_of(address) == source
