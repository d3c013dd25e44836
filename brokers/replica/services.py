"""What a broker's plugin reports."""

import uuid

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from devices.authentication import SEEN_INTERVAL
from devices.models import Device


@transaction.atomic
def devices_seen(device_ids: list[uuid.UUID]) -> None:
    """Note that these devices have used their credentials: first use ends the time in which a reply may be repeated."""
    now = timezone.now()
    stale = Q(first_used_at=None) | Q(last_seen_at=None) | Q(last_seen_at__lte=now - SEEN_INTERVAL)
    devices = Device.objects.filter(stale, pk__in=device_ids)
    # Locked in one order, so that the reports of two brokers cannot wait for each other.
    locked = list(devices.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
    Device.objects.filter(pk__in=locked).update(last_seen_at=now, first_used_at=Coalesce(F("first_used_at"), now))
