"""Reading what a batch must know, and writing what it decided: a fixed number of statements for any size."""

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, connection
from django.db.models import Case, Field, Q, Value, When

from devices.models import Device, DeviceAttribute, DeviceCredentials
from profiles.models import ProvisioningKey
from provisioning import postgres
from provisioning.admission import Admitted
from provisioning.attempts import AttemptRow
from provisioning.attributes import AttributeRow, attributes_of
from provisioning.models import ProvisionAttempt
from provisioning.strategies import Ledger


def blank_ledger(now: datetime) -> Ledger:
    """Return a ledger that takes every name and all credentials for new, without asking.

    What it leads to is right exactly if it can be written, which the unique constraints decide.
    """
    return Ledger(now=now, limited_keys={}, devices={}, credentials={}, owners={})


def read_ledger(admitted: Iterable[Admitted], now: datetime) -> Ledger:
    """Return what the database knows of the names, credentials and limited keys of `admitted`.

    Keys with a use limit and existing devices are locked, in this order and each sorted, so that two batches never
    wait for each other in a circle. Credentials are read after that: read by the statement that waits for a lock, they
    would be those of before the wait (PostgreSQL manual, 13.2.1). At most three statements.
    """
    asked = list(admitted)
    key_ids = {one.key.pk for one in asked if one.key.use_limit is not None}
    names = {one.name for one in asked}
    ids = {one.credentials.credentials_id for one in asked if one.credentials}
    limited_keys = _locked_keys(key_ids) if key_ids else {}
    devices = _locked_devices(names) if names else {}
    credentials = _credentials(devices.values(), ids) if devices or ids else []
    return Ledger(
        now=now,
        limited_keys=limited_keys,
        devices={**devices},
        credentials={row.device_id: row for row in credentials},
        owners={row.credentials_id: row.device_id for row in credentials},
    )


def writes_at_once() -> bool:
    """Return whether a ledger that was blank is written by one statement, which is a transaction by itself.

    Not within a transaction at hand: a statement that fails would take all of it along.
    """
    return connection.vendor == "postgresql" and not connection.in_atomic_block


def write_ledger(ledger: Ledger, attempts: list[AttemptRow]) -> None:
    """Write everything that was decided, and `attempts`. Raises IntegrityError when another transaction was first."""
    ledger.created.sort(key=lambda device: device.name)
    ledger.new_credentials.sort(key=lambda row: row.credentials_id)
    attributes = attributes_of(ledger)
    if connection.vendor == "postgresql":
        postgres.write(ledger, attributes, attempts)
    else:
        _write(ledger, attributes, attempts)
    if ledger.spent_keys:
        ProvisioningKey.objects.bulk_update(ledger.spent_keys.values(), ["uses"])


def _locked_keys(key_ids: set[uuid.UUID]) -> dict[uuid.UUID, ProvisioningKey]:
    locked = ProvisioningKey.objects.select_for_update(no_key=True).filter(pk__in=key_ids).order_by("pk")
    return {key.pk: key for key in locked}


def _locked_devices(names: set[str]) -> dict[str, Device]:
    # no_key: other transactions may go on writing rows that refer to these devices.
    locked = Device.objects.select_for_update(no_key=True).filter(name__in=names)
    return {device.name: device for device in locked.order_by("name")}


def _credentials(devices: Iterable[Device], ids: set[str]) -> list[DeviceCredentials]:
    """Return the credentials of `devices`, and those that stand under one of `ids`."""
    wanted = Q(device__in=[device.pk for device in devices]) | Q(credentials_id__in=ids)
    return list(DeviceCredentials.objects.filter(wanted))


def _write(ledger: Ledger, attributes: list[AttributeRow], attempts: list[AttemptRow]) -> None:
    """Write all rows of a batch with the ORM, on any database."""
    Device.objects.bulk_create([device.unsaved() for device in ledger.created])
    DeviceCredentials.objects.bulk_create([row.unsaved() for row in ledger.new_credentials])
    _claim_devices(ledger)
    DeviceAttribute.objects.bulk_create(
        [row.unsaved(ledger.now) for row in attributes],
        update_conflicts=True,
        unique_fields=["device", "scope", "key"],
        update_fields=["value", "updated_at"],
    )
    ProvisionAttempt.objects.bulk_create([row.unsaved() for row in attempts])


def _claim_devices(ledger: Ledger) -> None:
    if not ledger.claimed:
        return
    claimed = Device.objects.filter(pk__in=[device.pk for device in ledger.claimed], provisioned_at=None).update(
        provisioned_at=ledger.now,
        updated_at=ledger.now,
        first_used_at=None,
        provisioned_with=_per_row(ledger.claimed, "provisioned_with"),
        retry_id=_per_row(ledger.claimed, "retry_id"),
        gateway=_per_row(ledger.claimed, "gateway"),
    )
    if claimed != len(ledger.claimed):
        raise IntegrityError("A device that was read as not provisioned has been provisioned since.")
    if ledger.changed_credentials:
        DeviceCredentials.objects.bulk_update(
            ledger.changed_credentials, ["type", "credentials_id", "value", "generated", "updated_at"]
        )


def _per_row(rows: list[Device], field_name: str) -> Case:
    """Return the value that each of `rows` has in `field_name`, as one SQL expression."""
    field = Device._meta.get_field(field_name)
    assert isinstance(field, Field)
    whens = (When(pk=row.pk, then=Value(getattr(row, field.attname), output_field=field)) for row in rows)
    return Case(*whens, output_field=field)
