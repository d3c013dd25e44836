"""How many clients may be connected at once, so that none takes all the room.

A connection is first *pending*: its client is unknown until it has sent CONNECT. Then it provisions, or belongs to a
device with credentials or to a bridge. Clients that provision have presented no secret, so they are limited
by address, for IPv6 by network of 64 bits, and leave room for the others. A new connection is never refused because
too many are pending: the oldest makes way, and an honest client is pending for milliseconds.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from core.networks import source_of

# Of all connections: at most so many in a hundred that provision, and that belong to devices with credentials.
PROVISIONING_PERCENT = 80
DEVICES_PERCENT = 95
# Of all connections: at most so many in a hundred pending from one address.
PENDING_PERCENT = 25


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers of connections: in all, provisioning in all and from one address, devices, pending from one address."""

    total: int
    provisioning: int
    provisioning_per_address: int
    devices: int
    pending_per_address: int

    @classmethod
    def of(cls, total: int, per_address: int) -> "Limits":
        """Return the limits for `total` connections, of which `per_address` from one address may provision."""
        return cls(
            total=total,
            provisioning=max(1, total * PROVISIONING_PERCENT // 100),
            provisioning_per_address=per_address,
            devices=max(1, total * DEVICES_PERCENT // 100),
            pending_per_address=max(1, total * PENDING_PERCENT // 100),
        )


class Place:
    """The place of one connection. It is left once, when the connection is gone."""

    def __init__(self, gate: "Gate", address: str, close: Callable[[], None]) -> None:
        self._gate, self.address, self.close = gate, address, close

    def provisions(self) -> bool:
        """Return whether there is room for one more client that provisions; it is one of them then."""
        return self._gate.move(self, self._gate.provisioning)

    def is_device(self) -> bool:
        """Return whether there is room for one more device with credentials; it is one of them then."""
        return self._gate.move(self, self._gate.devices)

    def is_bridge(self) -> bool:
        """Return True: a bridge always has a place."""
        return self._gate.move(self, self._gate.bridges)

    def leave(self) -> None:
        self._gate.leave(self)


class _Group:
    """Connections of one kind, the oldest first, all and by address."""

    def __init__(self, limit: int, per_address: int) -> None:
        self._limit, self._per_address = limit, per_address
        self.places: OrderedDict[Place, None] = OrderedDict()
        self._by_address: dict[str, OrderedDict[Place, None]] = {}

    def has_room(self, address: str) -> bool:
        return len(self.places) < self._limit and len(self._by_address.get(address, ())) < self._per_address

    def add(self, place: Place) -> None:
        self.places[place] = self._by_address.setdefault(place.address, OrderedDict())[place] = None

    def remove(self, place: Place) -> bool:
        if place not in self.places:
            return False
        del self.places[place]
        neighbours = self._by_address[place.address]
        del neighbours[place]
        if not neighbours:
            del self._by_address[place.address]
        return True

    def oldest(self, address: str | None = None) -> Place | None:
        return next(iter(self.places if address is None else self._by_address.get(address, ())), None)


class Gate:
    """Gives each connection its place. Everything runs in the event loop."""

    def __init__(self, limits: Limits) -> None:
        self._total = limits.total
        self.pending = _Group(limits.total, limits.pending_per_address)
        self.provisioning = _Group(limits.provisioning, limits.provisioning_per_address)
        self.devices = _Group(limits.devices, limits.devices)
        self.bridges = _Group(limits.total, limits.total)
        self._groups = (self.pending, self.provisioning, self.devices, self.bridges)

    def enter(self, address: str, close: Callable[[], None]) -> Place | None:
        """Return the place of a new connection, None when it must be closed. `close` is called when it has to make way."""
        address = source_of(address)
        if self.taken >= self._total or not self.pending.has_room(address):
            makes_way = self.pending.oldest(address) or self.pending.oldest()
            if makes_way is None:
                return None
            self.leave(makes_way)
            makes_way.close()
        place = Place(self, address, close)
        self.pending.add(place)
        return place

    def move(self, place: Place, group: _Group) -> bool:
        """Return whether `place`, a pending one, is in `group` now."""
        if not group.has_room(place.address) or not self.pending.remove(place):
            return False
        group.add(place)
        return True

    def leave(self, place: Place) -> None:
        """Free `place`. One that was freed already is left alone."""
        for group in self._groups:
            if group.remove(place):
                return

    @property
    def taken(self) -> int:
        """The number of connections."""
        return sum(len(group.places) for group in self._groups)
