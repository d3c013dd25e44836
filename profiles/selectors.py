"""Queries about profiles and keys for pages, each a fixed number of statements."""

from datetime import datetime

from profiles.models import ProvisioningKey


def keys_ending(*, now: datetime, before: datetime, limit: int) -> list[ProvisioningKey]:
    """Return at most `limit` live keys that expire before `before`, soonest first, each with its profile."""
    ending = ProvisioningKey.objects.filter(revoked_at=None, expires_at__gt=now, expires_at__lt=before)
    return list(ending.select_related("profile").order_by("expires_at")[:limit])
