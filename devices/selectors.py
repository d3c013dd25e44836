"""Questions about devices that pages and the devices themselves ask, each a fixed number of queries."""

import uuid
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q

from devices.models import Device, DeviceAttribute
from profiles.choices import AttributeScope
from profiles.models import DeviceProfile

STATES = {
    "pre-provisioned": Q(provisioned_at=None, blocked=False),
    "provisioned": Q(provisioned_at__isnull=False, first_used_at=None, blocked=False),
    "in use": Q(provisioned_at__isnull=False, first_used_at__isnull=False, blocked=False),
    "blocked": Q(blocked=True),
}


def state_of(device: Device) -> str:
    """Return in which of the STATES `device` is."""
    if device.blocked:
        return "blocked"
    if device.provisioned_at is None:
        return "pre-provisioned"
    return "in use" if device.first_used_at else "provisioned"


def counts_by_state() -> dict[str, int]:
    """Return the number of devices in each of the STATES."""
    counts = Device.objects.aggregate(**{f"n{number}": Count("pk", filter=rule) for number, rule in enumerate(STATES.values())})
    return dict(zip(STATES, counts.values(), strict=True))


def counts_by_profile(limit: int) -> list[tuple[DeviceProfile, int]]:
    """Return the `limit` profiles with the most devices, each with their number."""
    counts = Device.objects.order_by().values_list("profile").annotate(total=Count("pk")).order_by("-total")[:limit]
    numbers = dict(counts)
    profiles = DeviceProfile.objects.in_bulk(list(numbers))
    return [(profiles[pk], number) for pk, number in numbers.items() if pk in profiles]


def waiting_since(before: datetime) -> int:
    """Return how many devices were pre-provisioned before `before` and have not provisioned."""
    return Device.objects.filter(STATES["pre-provisioned"], created_at__lt=before).count()


def usable_devices(ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return which of `ids` are those of devices that are not blocked."""
    return set(Device.objects.filter(pk__in=ids, blocked=False).order_by().values_list("pk", flat=True))


def shared_attributes(ids: Collection[uuid.UUID], keys: Collection[str] | None = None) -> dict[uuid.UUID, dict[str, Any]]:
    """Return the shared attributes of devices, `keys` or all; a device that has none of them is left out."""
    rows = DeviceAttribute.objects.filter(device__in=ids, scope=AttributeScope.SHARED).order_by("key")
    if keys is not None:
        rows = rows.filter(key__in=keys)
    found: dict[uuid.UUID, dict[str, Any]] = defaultdict(dict)
    for device_id, key, value in rows.values_list("device_id", "key", "value"):
        found[device_id][key] = value
    return dict(found)


# What a device may read of its attributes, and its name in the answer.
_READABLE = {AttributeScope.CLIENT: "client", AttributeScope.SHARED: "shared"}


@dataclass(frozen=True, slots=True)
class AttributeRequest:
    """The attributes that a device asks for by name, e.g. the shared one "target". Without any name it asks for all."""

    client_keys: frozenset[str] = frozenset()
    shared_keys: frozenset[str] = frozenset()


def readable_attributes(device: Device, request: AttributeRequest) -> dict[str, dict[str, Any]]:
    """Return what `request` may have: `{"client": {key: value}, "shared": {…}}`, a scope without values left out."""
    wanted = Q()
    if request.client_keys:
        wanted |= Q(scope=AttributeScope.CLIENT, key__in=request.client_keys)
    if request.shared_keys:
        wanted |= Q(scope=AttributeScope.SHARED, key__in=request.shared_keys)
    rows = DeviceAttribute.objects.filter(wanted or Q(scope__in=_READABLE), device=device).order_by("scope", "key")
    answer: dict[str, dict[str, Any]] = {}
    for scope, key, value in rows.values_list("scope", "key", "value"):
        answer.setdefault(_READABLE[AttributeScope(scope)], {})[key] = value
    return answer
