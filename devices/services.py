"""What can be done to devices, and what devices do with their credentials."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core.model_update import model_update
from core.text import sanitized
from core.unique import unique
from devices.bulk_services import devices_reset_provisioning
from devices.choices import PROVISION_STATE
from devices.credentials import Credentials, InvalidCredentials, generated_token, normalized
from devices.errors import QuotaExceeded
from devices.models import Device, DeviceAttribute, DeviceCredentials, LatestTelemetry
from events.choices import Kind
from events.services import NewEvent, named_keys, record
from profiles.choices import AttributeScope
from profiles.models import DeviceProfile

PROBLEM_INTERVAL = timedelta(minutes=1)
NAME_TAKEN = "A device with this name already exists."


@dataclass(frozen=True, slots=True)
class Reading:
    """One telemetry value: a string, boolean, number, object or array, and when it was measured."""

    key: str
    value: Any
    measured_at: datetime


@transaction.atomic
def device_create(*, name: str, profile: DeviceProfile, credentials: Credentials | None = None, **fields: Any) -> Device:
    """Return a new pre-provisioned device with `credentials` (default: a generated token) and the profile's attributes.

    Raises ValidationError when a value does not fit or is taken, and then nothing was made.
    """
    try:
        chosen = normalized(credentials) if credentials else generated_token()
    except InvalidCredentials as err:
        raise ValidationError({"credentials": str(err)}) from None
    device = Device(name=name.strip(), profile=profile, **fields)
    device.full_clean()
    with unique("name", NAME_TAKEN):
        device.save(force_insert=True)
    row = DeviceCredentials(device=device)
    row.set(chosen)
    row.full_clean()
    with unique("credentials", "These credentials are in use already."):
        row.save(force_insert=True)
    DeviceAttribute.objects.bulk_create(DeviceAttribute(device=device, **entry) for entry in default_attributes(profile))
    record([NewEvent(Kind.DEVICE_CREATED, device.pk, profile.pk)])
    return device


@transaction.atomic
def device_update(*, device: Device, **fields: Any) -> list[str]:
    """Set `fields` of `device`; return the names of those that changed. Raises ValidationError, and then none did."""
    locked = Device.objects.select_for_update(no_key=True).get(pk=device.pk)
    changed = model_update(locked, fields, taken=NAME_TAKEN)
    if changed:
        record([NewEvent(Kind.DEVICE_CHANGED, device.pk, locked.profile_id, {"fields": changed})])
    return changed


@transaction.atomic
def shared_attributes_set(*, device: Device, values: dict[str, Any]) -> None:
    """Set shared attributes of `device`, which receives them at once if it is connected."""
    _attributes_save(device, AttributeScope.SHARED, values)
    record([NewEvent(Kind.SHARED_ATTRIBUTES_CHANGED, device.pk, device.profile_id, named_keys(values))])


@transaction.atomic
def shared_attributes_delete(*, device: Device, keys: Collection[str]) -> int:
    """Delete shared attributes of `device`, which learns of it. Return how many there were."""
    rows = DeviceAttribute.objects.filter(device=device, scope=AttributeScope.SHARED, key__in=keys)
    there = list(rows.values_list("key", flat=True))
    rows.delete()
    if there:
        record([NewEvent(Kind.SHARED_ATTRIBUTES_CHANGED, device.pk, device.profile_id, named_keys(there))])
    return len(there)


def default_attributes(profile: DeviceProfile) -> list[dict[str, Any]]:
    """Return scope, key and value of what every new device of `profile` has. Its provisionState is not up to the profile."""
    own_state = (AttributeScope.SERVER, PROVISION_STATE)
    return [entry for entry in profile.default_attributes if (entry["scope"], entry["key"]) != own_state]


def device_reset_provisioning(*, device: Device) -> None:
    """Let `device` provision once more: it is pre-provisioned again, and keeps its credentials until then."""
    devices_reset_provisioning(devices=Device.objects.filter(pk=device.pk))


def credentials_handed_out(*, credentials: QuerySet[DeviceCredentials]) -> None:
    """Record that `credentials` are disclosed: after a reset the device then gets new ones."""
    DeviceCredentials.objects.filter(pk__in=credentials.order_by().values("pk")).update(handed_out_at=timezone.now())


def device_note_problem(*, device: Device, text: str) -> None:
    """Keep `text`, why a message of `device` was refused, for the operator; the same text at most once a minute."""
    now, problem = timezone.now(), sanitized(text)
    recent = Q(last_problem=problem, last_problem_at__gt=now - PROBLEM_INTERVAL)
    Device.objects.filter(~recent, pk=device.pk).update(last_problem=problem, last_problem_at=now)


@transaction.atomic
def telemetry_save(*, device: Device, readings: Iterable[Reading]) -> None:
    """Keep the newest reading of each key; one that is older than what is kept already is dropped. Raises QuotaExceeded."""
    newest: dict[str, Reading] = {}
    for reading in readings:
        if reading.key not in newest or reading.measured_at >= newest[reading.key].measured_at:
            newest[reading.key] = reading
    _lock(device)
    rows = LatestTelemetry.objects.filter(device=device)
    kept = list(rows.filter(key__in=newest).order_by().values_list("key", "measured_at"))
    _check_quota(rows, new=len(newest) - len(kept), what="telemetry")
    for key, measured_at in kept:
        if measured_at > newest[key].measured_at:
            del newest[key]
    LatestTelemetry.objects.bulk_create(
        [
            LatestTelemetry(device=device, key=key, value=reading.value, measured_at=reading.measured_at)
            for key, reading in sorted(newest.items())
        ],
        update_conflicts=True,
        unique_fields=["device", "key"],
        update_fields=["value", "measured_at"],
    )


@transaction.atomic
def client_attributes_save(*, device: Device, values: dict[str, Any]) -> None:
    """Set attributes that the device reports about itself, in scope client. Raises QuotaExceeded."""
    rows = DeviceAttribute.objects.filter(device=device, scope=AttributeScope.CLIENT)
    kept = rows.filter(key__in=values)
    if kept.count() < len(values):
        _lock(device)
        _check_quota(rows, new=len(values) - kept.count(), what="client attribute")
    _attributes_save(device, AttributeScope.CLIENT, values)


def _attributes_save(device: Device, scope: AttributeScope, values: dict[str, Any]) -> None:
    now = timezone.now()
    DeviceAttribute.objects.bulk_create(
        [
            DeviceAttribute(device=device, scope=scope, key=key, value=value, updated_at=now)
            for key, value in sorted(values.items())
        ],
        update_conflicts=True,
        unique_fields=["device", "scope", "key"],
        update_fields=["value", "updated_at"],
    )


def _lock(device: Device) -> None:
    """Lock the row of the device: a new key has no row yet that could be locked."""
    Device.objects.select_for_update(no_key=True).filter(pk=device.pk).values_list("pk").get()


def _check_quota(rows: QuerySet[Any], *, new: int, what: str) -> None:
    """Raise QuotaExceeded if `new` more keys are too many beside those in `rows`. The device is locked."""
    most = settings.MAX_KEYS_PER_DEVICE
    if new > 0 and rows.count() + new > most:
        raise QuotaExceeded(f"A device may have {most} {what} keys. Nothing in this message was stored.")
