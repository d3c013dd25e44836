"""Questions about attempts that pages ask, each a fixed number of queries."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from devices.models import Device
from profiles.models import DeviceProfile
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import ProvisionAttempt, RejectedRequest

HOUR = timedelta(hours=1)
# A profile fails when more than half of at least this many attempts did: one typing error is no alarm.
MIN_ATTEMPTS = 5
# Failures of a device that are counted.
MAX_COUNTED = 1_000


@dataclass(frozen=True, slots=True)
class HourOfAttempts:
    """How many attempts of the hour that begins at `start` came to which outcome."""

    start: datetime
    counts: dict[ProvisionStatus, int]


@dataclass(frozen=True, slots=True)
class FailingProfile:
    profile: DeviceProfile
    failed: int
    total: int


@dataclass(frozen=True, slots=True)
class DeviceFailures:
    """Attempts under the name of a device that failed since it last provisioned; `count` stops at MAX_COUNTED."""

    count: int
    since: datetime
    last: ProvisionAttempt
    second_device: ProvisionAttempt | None


def latest_attempts(device: Device, limit: int) -> list[ProvisionAttempt]:
    """Return the latest attempts of `device`, those that failed under its name included, the last one first. Two queries."""
    # None is in both: a failed attempt has no device.
    own = device.attempts.select_related("key").defer("key__secret")[:limit]
    failed = _failed_under(device.name).select_related("key").defer("key__secret")[:limit]
    return sorted((*own, *failed), key=lambda attempt: attempt.created_at, reverse=True)[:limit]


def failures_of(device: Device) -> DeviceFailures | None:
    """Return what failed under the name of `device` since it last provisioned; None if nothing did. At most three queries."""
    last_success = device.attempts.filter(outcome=ProvisionStatus.SUCCESS).values_list("created_at", flat=True).first()
    failed = _failed_under(device.name)
    if last_success:
        failed = failed.filter(created_at__gt=last_success)
    rows = list(failed[:MAX_COUNTED])
    if not rows:
        return None
    suspected = next((row for row in rows if row.reason == Reason.SECOND_DEVICE), None)
    return DeviceFailures(len(rows), rows[-1].created_at, rows[0], suspected)


def _failed_under(name: str) -> QuerySet[ProvisionAttempt]:
    """Return the failed attempts of devices that gave `name`, the last one first, by the index for these."""
    return ProvisionAttempt.objects.filter(device_name=name).exclude(outcome=ProvisionStatus.SUCCESS)


def attempts_by_hour(*, now: datetime, hours: int) -> list[HourOfAttempts]:
    """Return the last `hours` hours, the present one last. One query.

    Counted by range and not by truncating each time: SQLite would call Python for every row.
    """
    last = now.replace(minute=0, second=0, microsecond=0)
    starts = [last - HOUR * back for back in reversed(range(hours))]
    ranges = {
        f"h{number}": Count("pk", filter=Q(created_at__gte=start, created_at__lt=start + HOUR))
        for number, start in enumerate(starts)
    }
    rows = ProvisionAttempt.objects.filter(created_at__gte=starts[0]).order_by().values("outcome").annotate(**ranges)
    by_outcome: dict[str, Any] = {row["outcome"]: row for row in rows}
    return [
        HourOfAttempts(start, {status: by_outcome.get(status, {}).get(f"h{number}", 0) for status in ProvisionStatus})
        for number, start in enumerate(starts)
    ]


def failing_profiles(since: datetime) -> list[FailingProfile]:
    """Return the profiles of which more than half of the attempts since `since` failed, the worst first. Two queries."""
    failed = Count("pk", filter=~Q(outcome=ProvisionStatus.SUCCESS))
    rows = (
        ProvisionAttempt.objects.filter(created_at__gte=since, profile__isnull=False)
        .order_by()
        .values("profile")
        .annotate(total=Count("pk"), failed=failed)
        .filter(total__gte=MIN_ATTEMPTS)
    )
    failing = sorted((row for row in rows if row["failed"] * 2 > row["total"]), key=lambda row: -row["failed"])
    profiles = DeviceProfile.objects.in_bulk([row["profile"] for row in failing])
    return [
        FailingProfile(profiles[row["profile"]], row["failed"], row["total"]) for row in failing if row["profile"] in profiles
    ]


def second_devices(since: datetime, limit: int) -> list[ProvisionAttempt]:
    """Return the latest attempts since `since` in which a second device may have used an identity."""
    suspected = ProvisionAttempt.objects.filter(created_at__gte=since, reason=Reason.SECOND_DEVICE)
    return list(suspected.select_related("profile")[:limit])


def rejections(since: datetime) -> int:
    """Return how many requests since `since` belonged to no key or could not be read."""
    total = RejectedRequest.objects.filter(minute__gte=since).aggregate(total=Sum("count"))["total"]
    return int(total or 0)
