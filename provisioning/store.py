"""Writing what a batch decided: a fixed number of statements for any size."""

from collections.abc import Iterator

from django.db import IntegrityError, connection
from django.db.models import Case, Field, Value, When

from devices.bulk_services import CREDENTIALS_COLUMNS
from devices.choices import PROVISION_STATE, PROVISIONED
from devices.models import Device, DeviceAttribute, DeviceCredentials
from devices.services import default_attributes
from events.choices import Kind
from events.services import NewEvent, record
from profiles.choices import AttributeScope
from profiles.models import ProvisioningKey
from provisioning import postgres
from provisioning.ledger import Ledger
from provisioning.models import ProvisionAttempt
from provisioning.rows import AttemptRow, AttributeRow


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
    record(_events_of(ledger))


def _events_of(ledger: Ledger) -> Iterator[NewEvent]:
    for new in ledger.created:
        yield NewEvent(Kind.DEVICE_PROVISIONED, new.pk, new.profile_id, {"created": True})
    profiles = {device.pk: device.profile_id for device in ledger.claimed}
    for device_id, profile_id in profiles.items():
        yield NewEvent(Kind.DEVICE_PROVISIONED, device_id, profile_id)
    for row in ledger.changed_credentials:
        yield NewEvent(Kind.CREDENTIALS_CHANGED, row.device_id, profiles[row.device_id])


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
        DeviceCredentials.objects.bulk_update(ledger.changed_credentials, CREDENTIALS_COLUMNS)


def _per_row(rows: list[Device], field_name: str) -> Case:
    """Return the value that each of `rows` has in `field_name`, as one SQL expression."""
    field = Device._meta.get_field(field_name)
    assert isinstance(field, Field)
    whens = (When(pk=row.pk, then=Value(getattr(row, field.attname), output_field=field)) for row in rows)
    return Case(*whens, output_field=field)


def attributes_of(ledger: Ledger) -> list[AttributeRow]:
    """Return the attributes of new devices and the provisionState of all, sorted so that locks are taken in one order."""
    return sorted(_rows(ledger), key=lambda row: (row.device_id, row.scope, row.key))


def _rows(ledger: Ledger) -> Iterator[AttributeRow]:
    for device in ledger.created:
        for entry in default_attributes(device.profile):
            yield AttributeRow(device.pk, entry["scope"], entry["key"], entry["value"])
    for device_id in [*(device.pk for device in ledger.created), *(device.pk for device in ledger.claimed)]:
        yield AttributeRow(device_id, AttributeScope.SERVER.value, PROVISION_STATE, PROVISIONED)
