"""What would mend a failed attempt, where one click is safe: it undoes nothing that an operator decided.

A blocked device, a disabled profile, a revoked key or a suspected second device is a decision or a danger; those get no click.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from devices.models import Device
from devices.services import device_create, device_reset_provisioning
from profiles.services import key_extend
from provisioning.choices import Reason
from provisioning.models import ProvisionAttempt

EXTENSION = timedelta(days=30)


class Mend(models.TextChoices):
    ADD_DEVICE = "add_device", "Add as pre-provisioned device"
    RESET_DEVICE = "reset_device", "Reset the device"
    EXTEND_KEY = "extend_key", f"Extend the key by {EXTENSION.days} days"


@dataclass(frozen=True, slots=True)
class Offered:
    """A mend that applies to an attempt, and the permission it takes."""

    mend: Mend
    permission: str


_BY_REASON = {
    Reason.DEVICE_UNKNOWN: Offered(Mend.ADD_DEVICE, "devices.add_device"),
    Reason.ALREADY_PROVISIONED: Offered(Mend.RESET_DEVICE, "devices.change_device"),
    Reason.KEY_EXPIRED: Offered(Mend.EXTEND_KEY, "profiles.change_provisioningkey"),
}


def with_mendable(attempts: QuerySet[ProvisionAttempt]) -> QuerySet[ProvisionAttempt]:
    """Return `attempts`, each told whether its device is there and whether that one has provisioned, in the same query."""
    named = Device.objects.filter(name=OuterRef("device_name"))
    return (
        attempts.select_related("profile", "key")
        .defer("key__secret")
        .annotate(
            device_is_there=Exists(named),
            device_is_provisioned=Exists(named.filter(profile=OuterRef("profile"), provisioned_at__isnull=False, blocked=False)),
        )
    )


def mend_for(attempt: ProvisionAttempt, now: datetime) -> Offered | None:
    """Return what would mend `attempt`, from `with_mendable`; None when nothing would, or it has been mended since."""
    offered = _BY_REASON.get(Reason(attempt.reason))
    if offered is None or attempt.profile is None:
        return None
    needed = {
        Mend.ADD_DEVICE: bool(attempt.device_name) and not getattr(attempt, "device_is_there", True),
        Mend.RESET_DEVICE: bool(getattr(attempt, "device_is_provisioned", False)),
        Mend.EXTEND_KEY: attempt.key is not None and attempt.key.revoked_at is None and attempt.key.is_expired(now),
    }
    return offered if needed[offered.mend] else None


def attempt_mend(*, attempt: ProvisionAttempt) -> tuple[models.Model, str]:
    """Mend `attempt`; return what was changed and a sentence on it. Raises ValidationError when there is nothing to mend."""
    now = timezone.now()
    offered = mend_for(attempt, now)
    if offered is None or attempt.profile is None:
        raise ValidationError("There is nothing to mend any more.")
    match offered.mend:
        case Mend.ADD_DEVICE:
            device = device_create(name=attempt.device_name, profile=attempt.profile)
            return device, f"Device {device.name} added as pre-provisioned; it may provision now."
        case Mend.RESET_DEVICE:
            device = Device.objects.get(name=attempt.device_name)
            device_reset_provisioning(device=device)
            return device, f"Provisioning of {device.name} reset; it may provision once more."
        case Mend.EXTEND_KEY:
            assert attempt.key is not None
            key_extend(key=attempt.key, until=now + EXTENSION)
            return attempt.key, f"Key {attempt.key} extended by {EXTENSION.days} days."
