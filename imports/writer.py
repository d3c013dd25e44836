"""Reads the rows that a chunk needs and writes its decisions, with a fixed number of statements for any chunk."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from devices.bulk_services import CREDENTIALS_COLUMNS
from devices.models import Device, DeviceAttribute, DeviceCredentials, LatestTelemetry
from events.choices import Kind
from events.models import Event
from events.services import NewEvent, named_keys, record
from imports import (
    bulk,
    lookups,  # noqa: F401 - registers any_of
)
from imports.choices import Verdict
from imports.csv.values import as_json
from imports.planner import FIELDS, Decision, Ledger
from imports.row_parser import DeviceRow, RowParser
from imports.seen import SeenRows
from profiles.choices import AttributeScope
from profiles.models import DeviceProfile


def read_ledger(
    rows: Sequence[DeviceRow],
    repeated: dict[int, int],
    *,
    reading: bool,
    parser: RowParser,
    update: bool,
    default_profile: DeviceProfile | None,
    would_own: SeenRows | None = None,
) -> Ledger:
    """Return what the database has about `rows`. If rows may be updated, their devices are locked, ordered by name.

    Without `reading` all names and credentials are assumed to be new. The unique constraints detect if that is wrong.
    `would_own` has the owners that a dry run has decided so far.
    """
    sound = [row for row in rows if not row.refusal]
    names = sorted({row.name for row in sound}) if reading else []
    ids = {row.stored.id for row in sound if row.stored} if reading else set()
    ledger = Ledger(
        parser=parser,
        update=update,
        default_profile=default_profile,
        profiles=_profiles({row.profile_name for row in sound if row.profile_name}),
        devices=_devices(names, update=update) if names else {},
        owners=(_owners(ids) if ids else {}) | (would_own.owners(ids) if would_own else {}),
        repeated=repeated,
    )
    if update and ledger.devices:
        _read_values(sound, ledger)
    return ledger


def _profiles(names: set[str]) -> dict[str, DeviceProfile]:
    return {profile.name: profile for profile in DeviceProfile.objects.filter(name__in=names)} if names else {}


def _owners(ids: set[str]) -> dict[str, str]:
    rows = DeviceCredentials.objects.filter(credentials_id__any_of=ids)
    return dict(rows.values_list("credentials_id", "device__name"))


def _devices(names: list[str], *, update: bool) -> dict[str, Device]:
    devices = Device.objects.filter(name__any_of=names).order_by("name")
    if update:
        devices = devices.select_related("credentials").select_for_update(of=("self",), no_key=True)
    else:
        devices = devices.only("name")
    return {device.name: device for device in devices}


def _read_values(rows: Sequence[DeviceRow], ledger: Ledger) -> None:
    known = [device.pk for device in ledger.devices.values()]
    keys = {key for row in rows for _, key in row.attributes}
    attributes = DeviceAttribute.objects.filter(device__in=known, key__in=keys).values_list("device_id", "scope", "key", "value")
    ledger.attributes = {(device, scope, key): value for device, scope, key, value in attributes}
    keys = {key for row in rows for key in row.telemetry}
    readings = LatestTelemetry.objects.filter(device__in=known, key__in=keys).values_list("device_id", "key", "value")
    ledger.telemetry = {(device, key): value for device, key, value in readings}


def write(decisions: Sequence[Decision], *, job_id: UUID | None, now: datetime) -> None:
    """Write the decisions. Raises IntegrityError if another transaction was first to take a name or credentials.

    Updates go before inserts: a new device may get credentials that an update released.
    """
    updated = [decision for decision in decisions if decision.verdict == Verdict.UPDATED]
    created = [decision for decision in decisions if decision.verdict == Verdict.CREATED]
    if updated:
        _update(updated, now)
    if created:
        _create(created, job_id, now)


def _create(decisions: list[Decision], job_id: UUID | None, now: datetime) -> None:
    # Ordered by name, so that two imports of the same list cannot deadlock.
    decisions.sort(key=lambda decision: decision.row.name)
    numbered = [(bulk.new_id(), decision) for decision in decisions]
    at = bulk.moment(now)
    profile_ids = {one.profile.name: one.profile.pk.hex for one in decisions if one.profile}
    job = job_id.hex if job_id else None
    bulk.insert(
        Device,
        (
            "id",
            "name",
            "label",
            "description",
            "profile",
            "gateway",
            "blocked",
            "retry_id",
            "created_at",
            "updated_at",
            "import_job",
        ),
        (
            (pk, row.name, row.label, row.description, profile_ids[one.profile.name], bool(row.gateway), False, "", at, at, job)
            for pk, one in numbered
            if (row := one.row) and one.profile
        ),
    )
    bulk.insert(
        DeviceCredentials,
        ("device", "type", "credentials_id", "value", "generated", "updated_at"),
        ((pk, one.stored.type, one.stored.id, one.stored.value, one.generated, at) for pk, one in numbered if one.stored),
    )
    bulk.insert(DeviceAttribute, ("id", "device", "scope", "key", "value", "updated_at"), _attributes(numbered, at))
    bulk.insert(
        LatestTelemetry,
        ("id", "device", "key", "value", "measured_at"),
        ((bulk.new_id(), pk, key, as_json(value), at) for pk, one in numbered for key, value in one.row.telemetry.items()),
    )
    bulk.insert(
        Event,
        ("created_at", "kind", "device_id", "profile_id", "data"),
        ((at, str(Kind.DEVICE_CREATED), pk, profile_ids[one.profile.name], "{}") for pk, one in numbered if one.profile),
    )


def _attributes(numbered: Iterable[tuple[str, Decision]], at: Any) -> Iterable[tuple[Any, ...]]:
    """Return attribute rows for a new device: those of its profile, overridden by those of the file."""
    for pk, one in numbered:
        values: dict[tuple[str, str], Any] = one.row.attributes
        if one.profile and one.profile.default_attributes:
            values = {(entry["scope"], entry["key"]): entry["value"] for entry in one.profile.default_attributes} | values
        for (scope, key), value in values.items():
            yield bulk.new_id(), pk, scope, key, as_json(value), at


def _update(decisions: list[Decision], now: datetime) -> None:
    devices = [one.device for one in decisions if one.device]
    for one in decisions:
        if one.device:
            one.device.updated_at = now
            if one.stored:
                # Otherwise a repeated provisioning request would return the new credentials to a holder of the old ones.
                one.device.retry_id = ""
    Device.objects.bulk_update(devices, [*FIELDS, "retry_id", "updated_at"])
    _update_credentials(decisions, now)
    pairs = [(one.device, one.row) for one in decisions if one.device]
    attributes = [
        DeviceAttribute(device=device, scope=scope, key=key, value=value, updated_at=now)
        for device, row in pairs
        for (scope, key), value in row.attributes.items()
    ]
    DeviceAttribute.objects.bulk_create(
        attributes, update_conflicts=True, unique_fields=["device", "scope", "key"], update_fields=["value", "updated_at"]
    )
    readings = [
        LatestTelemetry(device=device, key=key, value=value, measured_at=now)
        for device, row in pairs
        for key, value in row.telemetry.items()
    ]
    LatestTelemetry.objects.bulk_create(
        readings, update_conflicts=True, unique_fields=["device", "key"], update_fields=["value", "measured_at"]
    )
    record(_events_of(decisions))


def _events_of(decisions: list[Decision]) -> Iterator[NewEvent]:
    """Return what others must learn of the devices that were updated."""
    for one in decisions:
        if one.device is None:
            continue
        device_id, profile_id = one.device.pk, one.device.profile_id
        changed = {change.field for change in one.changes}
        fields = sorted(changed.intersection(FIELDS))
        if fields:
            yield NewEvent(Kind.DEVICE_CHANGED, device_id, profile_id, {"fields": fields})
        if one.stored:
            yield NewEvent(Kind.CREDENTIALS_CHANGED, device_id, profile_id)
        shared = [key for scope, key in one.row.attributes if scope == AttributeScope.SHARED]
        if any(f"shared attribute {key}" in changed for key in shared):
            yield NewEvent(Kind.SHARED_ATTRIBUTES_CHANGED, device_id, profile_id, named_keys(shared))


def _update_credentials(decisions: list[Decision], now: datetime) -> None:
    """Replace credentials one after the other, in order: each may take what the previous one released."""
    rows = []
    for one in decisions:
        if one.device and one.stored:
            row = DeviceCredentials(device=one.device, updated_at=now)
            row.set(one.stored.credentials)
            rows.append(row)
    DeviceCredentials.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["device"],
        update_fields=CREDENTIALS_COLUMNS,
    )
