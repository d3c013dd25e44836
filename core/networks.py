"""The network under which requests of an address are counted."""

import ipaddress
from functools import lru_cache

# One customer of an IPv6 provider has a network of 64 bits at least, and often all of 48 bits.
_HOST_PREFIX = 64
_SITE_PREFIX = 48


@lru_cache(maxsize=10_000)
def source_networks(address: str) -> tuple[str, ...]:
    """Return the networks that `address` is counted in, the narrowest first; none when `address` is no IP address.

    That is the address itself, or for IPv6 its network of 64 bits and then that of 48 bits.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ()
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped or parsed.version == 4:
        return (str(mapped or parsed),)
    return tuple(str(ipaddress.ip_network((parsed, prefix), strict=False)) for prefix in (_HOST_PREFIX, _SITE_PREFIX))


def source_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, the /64 network of an IPv6 address, or else `address` itself."""
    return next(iter(source_networks(address)), address)
