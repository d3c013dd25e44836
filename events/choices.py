"""What an event can be about."""

from django.db.models import TextChoices


class Kind(TextChoices):
    """What happened. Subscribers of webhooks see these words, so they never change.

    A device that is created by provisioning has one event, DEVICE_PROVISIONED, with `"created": true` in its data.
    """

    DEVICE_CREATED = "device.created", "Device created"
    DEVICE_PROVISIONED = "device.provisioned", "Device provisioned"
    DEVICE_CHANGED = "device.changed", "Device changed"
    DEVICE_BLOCKED = "device.blocked", "Device blocked"
    DEVICE_UNBLOCKED = "device.unblocked", "Device unblocked"
    DEVICE_RESET = "device.reset", "Provisioning reset"
    DEVICE_DELETED = "device.deleted", "Device deleted"
    CREDENTIALS_CHANGED = "credentials.changed", "Credentials changed"
    SHARED_ATTRIBUTES_CHANGED = "attributes.changed", "Shared attributes changed"
    KEY_REVOKED = "key.revoked", "Provisioning key revoked"
    APPROVAL_REQUESTED = "approval.requested", "Approval requested"


# After each of these, what a device may do with its credentials must be looked up again.
ACCESS_CHANGES = frozenset(
    {Kind.DEVICE_BLOCKED, Kind.DEVICE_RESET, Kind.DEVICE_DELETED, Kind.CREDENTIALS_CHANGED},
)
