"""Work that only one process of all may do at a time, e.g. serving a broker without shared subscriptions."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from operations.models import Lease

# A holder that died makes way after this time. It renews with every heartbeat.
LEASE = timedelta(seconds=12)


def take_lease(name: str, holder: str) -> bool:
    """Return whether `holder` has the lease `name`, for LEASE from now. Raises django.db.Error."""
    now = timezone.now()
    Lease.objects.get_or_create(name=name, defaults={"expires_at": now})
    free = Q(holder=holder) | Q(expires_at__lte=now)
    return Lease.objects.filter(free, name=name).update(holder=holder, expires_at=now + LEASE) == 1


def release_lease(name: str, holder: str) -> None:
    """Give the lease up, if `holder` has it. Raises django.db.Error."""
    Lease.objects.filter(name=name, holder=holder).update(holder="", expires_at=timezone.now())


def lease_names(prefix: str) -> list[str]:
    """Return the leases that were ever taken and not deleted, by the start of their name. Raises django.db.Error."""
    return list(Lease.objects.filter(name__startswith=prefix).values_list("name", flat=True))


def delete_lease(name: str, holder: str) -> None:
    """Delete a lease that nobody will need, if `holder` has it. Raises django.db.Error."""
    Lease.objects.filter(name=name, holder=holder).delete()
