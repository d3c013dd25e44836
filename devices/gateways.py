"""Gateways and their children: devices without a connection of their own, for which a gateway reports."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from devices.authentication import note_seen
from devices.choices import PROVISION_STATE, PROVISIONED
from devices.models import Device, DeviceAttribute
from devices.services import device_create
from profiles.choices import AttributeScope
from profiles.models import DeviceProfile


class ChildRefused(Exception):
    """The gateway may not report for this device. The text is for the operator."""


def child_of(gateway: Device, name: str, profile_name: str = "") -> Device:
    """Return the device called `name`, for which `gateway` reports; creates it if it is not known yet.

    A new child gets the profile called `profile_name`, or else that of the gateway. Raises ChildRefused. Source:
    docs/protocol.md, *With the credentials afterwards*.
    """
    child = _known_child(gateway, name) or _new_child(gateway, name, profile_name)
    note_seen(child)
    return child


def children_of(gateway: Device) -> QuerySet[Device]:
    """Return the devices for which `gateway` reports, by name."""
    return Device.objects.filter(parent_gateway=gateway)


def _known_child(gateway: Device, name: str) -> Device | None:
    child = Device.objects.select_related("profile").filter(name=name.strip()).first()
    if child is None:
        return None
    if child.parent_gateway_id != gateway.pk:
        raise ChildRefused(f"Device {child.name!r} is not attached to this gateway. An operator can attach it on its page.")
    if child.blocked:
        raise ChildRefused(f"Device {child.name!r} is blocked.")
    return child


@transaction.atomic
def _new_child(gateway: Device, name: str, profile_name: str) -> Device:
    # Locked, so that two sessions of one gateway do not exceed the limit together.
    locked = Device.objects.select_for_update(no_key=True, of=("self",)).select_related("profile").get(pk=gateway.pk)
    rules = locked.profile
    if not (rules.allow_gateways and rules.allow_gateway_children):
        raise ChildRefused(f"Device {name!r} is not known, and gateways of profile {rules.name!r} may not create devices.")
    if children_of(locked).count() >= rules.max_gateway_children:
        raise ChildRefused(f"Device {name!r} is not known, and the gateway has its {rules.max_gateway_children} devices already.")
    profile = DeviceProfile.objects.filter(name=profile_name).first() or rules
    try:
        with transaction.atomic():
            # Provisioned, so that no other device can claim it with a key of its profile.
            child = device_create(name=name, profile=profile, parent_gateway=locked, provisioned_at=timezone.now())
            DeviceAttribute.objects.create(device=child, scope=AttributeScope.SERVER, key=PROVISION_STATE, value=PROVISIONED)
    except ValidationError as err:
        # Another session has created it in the meantime, or the name is not usable.
        if known := _known_child(gateway, name):
            return known
        raise ChildRefused(f"Device {name!r} cannot be created: {' '.join(err.messages)}") from None
    return child
