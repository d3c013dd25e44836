"""Fixes for failed attempts that an operator may apply without further decisions, and only while they would help.

A blocked device, a disabled profile, a revoked key and a suspected second device need a decision and have no fix.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.utils import timezone

from devices.models import Device
from devices.services import device_create, device_reset_provisioning
from profiles.services import key_extend
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import ProvisionAttempt

EXTENSION = timedelta(days=30)


class Fix(models.TextChoices):
    ADD_DEVICE = "add_device", "Add as pre-provisioned device"
    RESET_DEVICE = "reset_device", "Reset the device"
    EXTEND_KEY = "extend_key", f"Extend the key by {EXTENSION.days} days"


@dataclass(frozen=True, slots=True)
class OfferedFix:
    """A fix that applies to an attempt, the permission it needs, and what will happen."""

    fix: Fix
    permission: str
    consequence: str


_BY_REASON = {
    Reason.DEVICE_UNKNOWN: OfferedFix(
        Fix.ADD_DEVICE, "devices.add_device", "It may then provision with any valid key of the profile."
    ),
    Reason.ALREADY_PROVISIONED: OfferedFix(
        Fix.RESET_DEVICE,
        "devices.change_device",
        "It may then provision once more, and gets new credentials if the present ones were ever handed out. Those work until "
        "then. Only do this if you know why it asks again.",
    ),
    Reason.KEY_EXPIRED: OfferedFix(
        Fix.EXTEND_KEY,
        "profiles.change_provisioningkey",
        "Every device that has this key and its secret may then provision, not only the one that failed.",
    ),
}

FIX_PERMISSIONS = frozenset(offered.permission for offered in _BY_REASON.values())


def with_fix_state(attempts: QuerySet[ProvisionAttempt]) -> QuerySet[ProvisionAttempt]:
    """Return `attempts`, each annotated with what fix_for asks about the device of its name, in the same query."""
    named = Device.objects.filter(name=OuterRef("device_name"))
    # Provisioned before this failure and never used: since then nothing has shown that the device works.
    stuck = named.filter(
        profile=OuterRef("profile"), provisioned_at__lte=OuterRef("created_at"), first_used_at=None, blocked=False
    )
    later = ProvisionAttempt.objects.filter(
        device__name=OuterRef("device_name"), outcome=ProvisionStatus.SUCCESS, created_at__gt=OuterRef("created_at")
    )
    return (
        attempts.select_related("profile", "key")
        .defer("key__secret")
        .annotate(named_device=Subquery(named.values("pk")[:1]), device_is_stuck=Exists(stuck), succeeded_later=Exists(later))
    )


def fix_for(attempt: ProvisionAttempt, now: datetime) -> OfferedFix | None:
    """Return the fix for `attempt`, a row of `with_fix_state`; None if there is none or it would not help any more."""
    offered = _BY_REASON.get(Reason(attempt.reason))
    if offered is None or attempt.profile is None or getattr(attempt, "succeeded_later", True):
        return None
    needed = {
        Fix.ADD_DEVICE: bool(attempt.device_name) and getattr(attempt, "named_device", attempt) is None,
        Fix.RESET_DEVICE: bool(getattr(attempt, "device_is_stuck", False)),
        Fix.EXTEND_KEY: attempt.key is not None and attempt.key.revoked_at is None and attempt.key.is_expired(now),
    }
    return offered if needed[offered.fix] else None


def distinct_fixes(attempts: Iterable[ProvisionAttempt], now: datetime) -> list[tuple[ProvisionAttempt, OfferedFix]]:
    """Return the fixes for `attempts`, rows of `with_fix_state`: one for each device and key, by its first attempt."""
    found: dict[tuple[Fix, str], tuple[ProvisionAttempt, OfferedFix]] = {}
    for attempt in attempts:
        if offered := fix_for(attempt, now):
            target = str(attempt.key_id) if offered.fix == Fix.EXTEND_KEY else attempt.device_name
            found.setdefault((offered.fix, target), (attempt, offered))
    return list(found.values())


def sentence_of(attempt: ProvisionAttempt, offered: OfferedFix) -> str:
    """Return what the fix of `attempt` would do, as the question before it lists it."""
    match offered.fix:
        case Fix.ADD_DEVICE:
            return f"Add {attempt.device_name} to {attempt.profile}"
        case Fix.RESET_DEVICE:
            return f"Reset {attempt.device_name} of {attempt.profile}"
        case Fix.EXTEND_KEY:
            return f"Extend {attempt.key} of {attempt.profile} by {EXTENSION.days} days"


def apply_fix(*, attempt: ProvisionAttempt) -> tuple[models.Model, str]:
    """Fix `attempt`; return the changed object and a sentence. Raises ValidationError if that would not help any more."""
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
