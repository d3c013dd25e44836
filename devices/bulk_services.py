"""What operators do to one device or to many at once. Each returns how many devices it changed."""

import uuid
from collections.abc import Callable, Collection, Iterator
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from devices.choices import PROVISION_STATE, CredentialsType
from devices.credentials import Credentials, generated_token, renewed
from devices.models import Device, DeviceAttribute, DeviceCredentials
from events.choices import Kind
from events.services import NewEvent, record
from profiles.choices import AttributeScope
from profiles.models import DeviceProfile

# What changes with other credentials.
CREDENTIALS_COLUMNS = [
    *("type", "credentials_id", "certificate_claim", "value", "generated"),
    *("handed_out_at", "renew", "updated_at"),
]
# Rows that one statement names: well within what SQLite and PostgreSQL take.
CHUNK = 500


@transaction.atomic
def devices_block(*, devices: QuerySet[Device]) -> int:
    """Keep `devices` from provisioning and from authenticating, at once. Those already blocked are not counted."""
    return _update(devices.filter(blocked=False), Kind.DEVICE_BLOCKED, blocked=True)


@transaction.atomic
def devices_unblock(*, devices: QuerySet[Device]) -> int:
    """Let blocked ones of `devices` work again, with the credentials that they have."""
    return _update(devices.filter(blocked=True), Kind.DEVICE_UNBLOCKED, blocked=False)


@transaction.atomic
def devices_reset_provisioning(*, devices: QuerySet[Device]) -> int:
    """Let `devices` provision once more: they are pre-provisioned again, and their credentials work until then.

    If the credentials were ever handed out, that claim gets new ones, of the same type: a party that has learned the old
    ones must not share them with the device. A certificate stays, since its key never left the device.
    """
    count = 0
    for rows in _locked_chunks(devices):
        handed_out = Q(handed_out_at__isnull=False) | Q(device__in=Device.objects.exclude(provisioned_at=None))
        DeviceCredentials.objects.filter(handed_out, device__in=rows).exclude(type=CredentialsType.X509_CERTIFICATE).update(
            renew=True
        )
        DeviceAttribute.objects.filter(device__in=rows, scope=AttributeScope.SERVER, key=PROVISION_STATE).delete()
        count += Device.objects.filter(pk__in=rows).update(
            provisioned_at=None, provisioned_with=None, retry_id="", first_used_at=None, updated_at=timezone.now()
        )
        _record(Kind.DEVICE_RESET, rows)
    return count


@transaction.atomic
def devices_reissue_credentials(*, devices: QuerySet[Device]) -> int:
    """Give each of `devices` a new access token; its old credentials, of any type, stop working at once.

    A provisioning request is no longer repeated to it: the reply would give the new token to a holder of the old one.
    """
    count = 0
    for rows in _locked_chunks(devices):
        _replace_credentials(rows, lambda _: generated_token())
        count += Device.objects.filter(pk__in=rows).update(retry_id="", first_used_at=None, updated_at=timezone.now())
        _record(Kind.CREDENTIALS_CHANGED, rows)
    return count


@transaction.atomic
def devices_replace(*, devices: QuerySet[Device]) -> int:
    """Let other physical devices provision as `devices`: always with new credentials, and the old ones end at once.

    A certificate is replaced with an access token. None of the old credentials can be chosen again.
    """
    count = devices_reset_provisioning(devices=devices)
    for rows in _locked_chunks(devices):
        _replace_credentials(rows, renewed)
        _record(Kind.CREDENTIALS_CHANGED, rows)
    return count


def _replace_credentials(device_ids: Collection[uuid.UUID], successor: Callable[[Credentials], Credentials]) -> None:
    """Retire the credentials of devices for what `successor` returns; a device without any gets an access token."""
    rows = DeviceCredentials.objects.select_for_update().filter(device__in=device_ids).order_by("pk").in_bulk()
    for device_id in device_ids:
        if device_id in rows:
            rows[device_id].retire(successor(rows[device_id].unpacked()))
        else:
            rows[device_id] = DeviceCredentials(device_id=device_id)
            rows[device_id].set(generated_token())
        rows[device_id].updated_at = timezone.now()
    DeviceCredentials.objects.bulk_create(
        list(rows.values()),
        update_conflicts=True,
        unique_fields=["device"],
        update_fields=[*CREDENTIALS_COLUMNS, "retired_id"],
    )


@transaction.atomic
def devices_move(*, devices: QuerySet[Device], profile: DeviceProfile) -> int:
    """Put `devices` into `profile`. Their credentials, state and attributes stay as they are."""
    return _update(devices.exclude(profile=profile), Kind.DEVICE_CHANGED, {"fields": ["profile"]}, profile=profile)


@transaction.atomic
def devices_delete(*, devices: QuerySet[Device]) -> int:
    """Delete `devices` with credentials, attributes and telemetry. Their attempts stay, without the device."""
    count = 0
    for rows in _locked_chunks(devices):
        count += Device.objects.filter(pk__in=rows).delete()[1].get(Device._meta.label, 0)
        _record(Kind.DEVICE_DELETED, rows)
    return count


def _update(devices: QuerySet[Device], kind: Kind, data: dict[str, Any] | None = None, **values: Any) -> int:
    count = 0
    for rows in _locked_chunks(devices):
        count += Device.objects.filter(pk__in=rows).update(**values, updated_at=timezone.now())
        _record(kind, rows, data)
    return count


def _record(kind: Kind, rows: dict[uuid.UUID, uuid.UUID], data: dict[str, Any] | None = None) -> None:
    record(NewEvent(kind, device_id, profile_id, data or {}) for device_id, profile_id in rows.items())


def _locked_chunks(devices: QuerySet[Device]) -> Iterator[dict[uuid.UUID, uuid.UUID]]:
    """Yield the ids of `devices` and those of their profiles, locked in one order, so that two such actions never deadlock."""
    ids: list[uuid.UUID] = sorted(devices.order_by().values_list("pk", flat=True).distinct())
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        locked = Device.objects.select_for_update(no_key=True).filter(pk__in=chunk).order_by("pk")
        yield dict(locked.values_list("pk", "profile_id"))
