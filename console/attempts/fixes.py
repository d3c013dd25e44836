"""Fixes for failed attempts, if one click is safe. A fix never reverses a decision of an operator.

A blocked device, a disabled profile, a revoked key and a suspected second device need a decision and have no fix.
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


class Fix(models.TextChoices):
    ADD_DEVICE = "add_device", "Add as pre-provisioned device"
    RESET_DEVICE = "reset_device", "Reset the device"
    EXTEND_KEY = "extend_key", f"Extend the key by {EXTENSION.days} days"


@dataclass(frozen=True, slots=True)
class OfferedFix:
    """A fix that applies to an attempt, and the permission it needs."""

    fix: Fix
    permission: str


_BY_REASON = {
    Reason.DEVICE_UNKNOWN: OfferedFix(Fix.ADD_DEVICE, "devices.add_device"),
    Reason.ALREADY_PROVISIONED: OfferedFix(Fix.RESET_DEVICE, "devices.change_device"),
    Reason.KEY_EXPIRED: OfferedFix(Fix.EXTEND_KEY, "profiles.change_provisioningkey"),
}


def with_fix_state(attempts: QuerySet[ProvisionAttempt]) -> QuerySet[ProvisionAttempt]:
    """Return `attempts`, each annotated with whether its device exists and is provisioned, in the same query."""
    named = Device.objects.filter(name=OuterRef("device_name"))
    return (
        attempts.select_related("profile", "key")
        .defer("key__secret")
        .annotate(
            device_exists=Exists(named),
            device_is_provisioned=Exists(named.filter(profile=OuterRef("profile"), provisioned_at__isnull=False, blocked=False)),
        )
    )


def fix_for(attempt: ProvisionAttempt, now: datetime) -> OfferedFix | None:
    """Return the fix for `attempt`, a row of `with_fix_state`; None if there is none or it is fixed already."""
    offered = _BY_REASON.get(Reason(attempt.reason))
    if offered is None or attempt.profile is None:
        return None
    needed = {
        Fix.ADD_DEVICE: bool(attempt.device_name) and not getattr(attempt, "device_exists", True),
        Fix.RESET_DEVICE: bool(getattr(attempt, "device_is_provisioned", False)),
        Fix.EXTEND_KEY: attempt.key is not None and attempt.key.revoked_at is None and attempt.key.is_expired(now),
    }
    return offered if needed[offered.fix] else None


def apply_fix(*, attempt: ProvisionAttempt) -> tuple[models.Model, str]:
    """Fix `attempt`; return the changed object and a sentence. Raises ValidationError if it is fixed already."""
    now = timezone.now()
    offered = fix_for(attempt, now)
    if offered is None or attempt.profile is None:
        raise ValidationError("Already fixed.")
    match offered.fix:
        case Fix.ADD_DEVICE:
            device = device_create(name=attempt.device_name, profile=attempt.profile)
            return device, f"Device {device.name} added as pre-provisioned. It may provision now."
        case Fix.RESET_DEVICE:
            device = Device.objects.get(name=attempt.device_name)
            device_reset_provisioning(device=device)
            return device, f"Provisioning of {device.name} reset. It may provision again."
        case Fix.EXTEND_KEY:
            assert attempt.key is not None
            key_extend(key=attempt.key, until=now + EXTENSION)
            return attempt.key, f"Key {attempt.key} extended by {EXTENSION.days} days."
