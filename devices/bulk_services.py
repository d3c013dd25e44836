"""What operators do to one device or to many at once. Each returns how many devices it changed."""

import uuid
from collections.abc import Iterator

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from devices.choices import PROVISION_STATE
from devices.credentials import generated_token
from devices.models import Device, DeviceAttribute, DeviceCredentials
from profiles.choices import AttributeScope
from profiles.models import DeviceProfile

# Rows that one statement names: well within what SQLite and PostgreSQL take.
CHUNK = 500


def devices_block(*, devices: QuerySet[Device]) -> int:
    """Keep `devices` from provisioning and from authenticating, at once. Those already blocked are not counted."""
    return _plain(devices).filter(blocked=False).update(blocked=True, updated_at=timezone.now())


def devices_unblock(*, devices: QuerySet[Device]) -> int:
    """Let blocked ones of `devices` work again, with the credentials that they have."""
    return _plain(devices).filter(blocked=True).update(blocked=False, updated_at=timezone.now())


@transaction.atomic
def devices_reset_provisioning(*, devices: QuerySet[Device]) -> int:
    """Let `devices` provision once more: they are pre-provisioned again, and keep their credentials until then."""
    count = 0
    for ids in _chunks(devices):
        DeviceAttribute.objects.filter(device__in=ids, scope=AttributeScope.SERVER, key=PROVISION_STATE).delete()
        count += Device.objects.filter(pk__in=ids).update(
            provisioned_at=None, provisioned_with=None, retry_id="", first_used_at=None, updated_at=timezone.now()
        )
    return count


@transaction.atomic
def devices_reissue_credentials(*, devices: QuerySet[Device]) -> int:
    """Give each of `devices` a new access token; what it had is worthless at once, whatever its type was.

    A provisioning request is no longer repeated to it: the answer would hand the new token to whoever held the old one.
    """
    count = 0
    now = timezone.now()
    for ids in _chunks(devices):
        rows = [DeviceCredentials(device_id=pk, updated_at=now) for pk in ids]
        for row in rows:
            row.set(generated_token())
        DeviceCredentials.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["device"],
            update_fields=["type", "credentials_id", "value", "generated", "updated_at"],
        )
        count += Device.objects.filter(pk__in=ids).update(retry_id="", first_used_at=None, updated_at=now)
    return count


def devices_move(*, devices: QuerySet[Device], profile: DeviceProfile) -> int:
    """Put `devices` into `profile`. Their credentials, state and attributes stay as they are."""
    return _plain(devices).exclude(profile=profile).update(profile=profile, updated_at=timezone.now())


@transaction.atomic
def devices_delete(*, devices: QuerySet[Device]) -> int:
    """Delete `devices` with credentials, attributes and telemetry. Their attempts stay, without the device."""
    count = 0
    for ids in _chunks(devices):
        count += Device.objects.filter(pk__in=ids).delete()[1].get(Device._meta.label, 0)
    return count


def _plain(devices: QuerySet[Device]) -> QuerySet[Device]:
    """Return `devices` as a query that can be updated, whatever it was ordered, joined or annotated by."""
    return Device.objects.filter(pk__in=devices.order_by().values("pk"))


def _chunks(devices: QuerySet[Device]) -> Iterator[list[uuid.UUID]]:
    """Yield the ids of `devices`, sorted, so that two such actions take their row locks in one order."""
    ids: list[uuid.UUID] = sorted(devices.order_by().values_list("pk", flat=True).distinct())
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
