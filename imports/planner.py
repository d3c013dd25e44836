"""Decides what happens to each row of a chunk, from the database and the rows before it.

A decision runs no statement, so a dry run decides exactly as the import does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from devices.credentials import generated_token
from devices.models import Device
from imports.choices import Verdict
from imports.columns import ColumnType
from imports.row_parser import DeviceRow, RowParser, RowRefused, StoredCredentials, to_stored
from profiles.choices import AttributeScope
from profiles.models import DeviceProfile

# What a row sets on its device itself. A blank changes nothing.
FIELDS = ("label", "description", "gateway")
AttributeId = tuple[UUID, str, str]
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One field of an existing device before and after. Never contains a secret."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is self.after is None:
            return f"{self.field} replaced"
        before = "nothing" if self.before in (None, "") else repr(self.before)
        return f"{self.field} from {before} to {self.after!r}"


@dataclass(slots=True)
class Decision:
    """What happens to `row`. A new device has a `profile`, an existing one is `device`."""

    row: DeviceRow
    verdict: Verdict
    refusal: RowRefused | None = None
    profile: DeviceProfile | None = None
    stored: StoredCredentials | None = None
    generated: bool = False
    device: Device | None = None
    changes: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class Ledger:
    """What the decisions of a chunk are based on.

    `profiles` and `devices` are by name; `owners` are device names by credentials id; `repeated` are earlier lines of
    the same name by line; `attributes` and `telemetry` are values of existing devices, if rows may be updated.
    """

    parser: RowParser
    update: bool
    default_profile: DeviceProfile | None
    profiles: dict[str, DeviceProfile]
    devices: dict[str, Device]
    owners: dict[str, str]
    repeated: dict[int, int]
    attributes: dict[AttributeId, Any] = field(default_factory=dict)
    telemetry: dict[tuple[UUID, str], Any] = field(default_factory=dict)


def decide(rows: Sequence[DeviceRow], ledger: Ledger) -> list[Decision]:
    """Return a decision for each of `rows`, in order."""
    return [_decided(row, ledger) for row in rows]


def _decided(row: DeviceRow, ledger: Ledger) -> Decision:
    try:
        if row.refusal:
            raise row.refusal
        return _accepted(row, ledger)
    except RowRefused as err:
        return Decision(row, Verdict.REFUSED, refusal=err.without_frames())


def _accepted(row: DeviceRow, ledger: Ledger) -> Decision:
    first_line = ledger.repeated.get(row.record.line)
    if first_line:
        raise RowRefused(f"The name is already on line {first_line}.", ledger.parser.title(ColumnType.NAME))
    profile = _profile(row, ledger)
    device = ledger.devices.get(row.name)
    if device is None:
        return _created(row, profile, ledger)
    if not ledger.update:
        raise RowRefused("A device with this name already exists.", ledger.parser.title(ColumnType.NAME))
    if device.profile_id != profile.pk:
        raise RowRefused(
            "The device exists in another profile; an import does not move devices.", ledger.parser.title(ColumnType.TYPE)
        )
    return _updated(row, device, ledger)


def _profile(row: DeviceRow, ledger: Ledger) -> DeviceProfile:
    if row.profile_name:
        if row.profile_name not in ledger.profiles:
            raise RowRefused(f"There is no profile {row.profile_name!r}.", ledger.parser.title(ColumnType.TYPE))
        return ledger.profiles[row.profile_name]
    if ledger.default_profile is None:
        raise RowRefused("The row names no profile, and the import has none.", ledger.parser.title(ColumnType.TYPE))
    return ledger.default_profile


def _created(row: DeviceRow, profile: DeviceProfile, ledger: Ledger) -> Decision:
    _check_free(row, ledger)
    stored = row.stored or to_stored(generated_token())
    ledger.owners[stored.id] = row.name
    return Decision(row, Verdict.CREATED, profile=profile, stored=stored, generated=row.stored is None)


def _check_free(row: DeviceRow, ledger: Ledger) -> None:
    if row.stored is None:
        return
    owner = ledger.owners.get(row.stored.id)
    if owner and owner != row.name:
        raise RowRefused(f"The credentials belong to device {owner!r}.", ledger.parser.credentials_title(row))


def _updated(row: DeviceRow, device: Device, ledger: Ledger) -> Decision:
    _check_free(row, ledger)
    changes = _field_changes(row, device) + _value_changes(row, device, ledger)
    stored = None
    current = getattr(device, "credentials", None)
    if row.stored and (current is None or current.unpacked() != row.stored.credentials):
        stored = row.stored
        changes.append(Change("credentials", None, None))
        if current is not None:
            ledger.owners[current.credentials_id] = ""
        ledger.owners[stored.id] = row.name
    verdict = Verdict.UPDATED if changes else Verdict.UNCHANGED
    return Decision(row, verdict, device=device, stored=stored, changes=changes)


def _field_changes(row: DeviceRow, device: Device) -> list[Change]:
    """Set FIELDS of `device` as `row` has them, without saving."""
    changes = []
    for name in FIELDS:
        before, value = getattr(device, name), getattr(row, name)
        if value not in (None, "", before):
            changes.append(Change(name, before, value))
            setattr(device, name, value)
    return changes


def _value_changes(row: DeviceRow, device: Device, ledger: Ledger) -> list[Change]:
    changes = []
    for (scope, key), value in row.attributes.items():
        before = ledger.attributes.get((device.pk, scope, key), ABSENT)
        if _differ(before, value):
            kind = "server" if scope == AttributeScope.SERVER else "shared"
            changes.append(Change(f"{kind} attribute {key}", None if before is ABSENT else before, value))
    for key, value in row.telemetry.items():
        before = ledger.telemetry.get((device.pk, key), ABSENT)
        if _differ(before, value):
            changes.append(Change(f"time series {key}", None if before is ABSENT else before, value))
    return changes


def _differ(before: Any, after: Any) -> bool:
    # In Python 1 == True; in JSON they differ.
    return before != after or isinstance(before, bool) != isinstance(after, bool)
