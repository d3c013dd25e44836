"""Under which client ids devices were admitted: for brokers that ask again about each topic, and to end sessions."""

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from brokers.models import Broker, BrokerSession
from core.connections import prepared_rows
from devices.models import Device

MAX_CLIENT_ID = 255
# Client ids that are remembered for one device and broker: a client may use another one each time.
KEPT_PER_DEVICE = 20
NOTED_AGAIN_AFTER = timedelta(hours=12)
# By hand, as it is asked at each connect.
_NOTED = """SELECT 1 FROM brokers_brokersession
            WHERE broker_id = %s AND client_id = %s AND device_id = %s AND admitted_at > %s"""


def note(broker: Broker, client_id: str, device: Device) -> None:
    """Remember that `device` was admitted as `client_id`. Costs one query if it was before."""
    client_id = client_id[:MAX_CLIENT_ID]
    now = timezone.now()
    if _is_noted(broker, client_id, device, now - NOTED_AGAIN_AFTER):
        return
    BrokerSession.objects.bulk_create(
        [BrokerSession(broker=broker, client_id=client_id, device_id=device.pk, admitted_at=now)],
        update_conflicts=True,
        unique_fields=["broker", "client_id"],
        update_fields=["device_id", "admitted_at"],
    )
    rows = BrokerSession.objects.filter(broker=broker, device_id=device.pk)
    old = list(rows.order_by("-admitted_at").values_list("pk", flat=True)[KEPT_PER_DEVICE : 2 * KEPT_PER_DEVICE])
    if old:
        BrokerSession.objects.filter(pk__in=old).delete()


def _is_noted(broker: Broker, client_id: str, device: Device, since: datetime) -> bool:
    at = connection.ops.adapt_datetimefield_value(since)
    return bool(prepared_rows(_NOTED, [broker.pk.hex, client_id, device.pk.hex, at]))


def device_of(broker: Broker, client_id: str) -> Device | None:
    """Return the device that was last admitted as `client_id`, with its profile."""
    session = BrokerSession.objects.filter(broker=broker, client_id=client_id).values("device_id")[:1]
    return Device.objects.select_related("profile").filter(pk=session).first()


def device_with_client_id(broker: Broker, client_ids: list[str]) -> bool:
    """Return whether a device was admitted under one of `client_ids`."""
    return BrokerSession.objects.filter(broker=broker, client_id__in=client_ids).exists()
