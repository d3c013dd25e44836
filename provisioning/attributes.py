"""The attributes that provisioning sets."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from devices.choices import PROVISION_STATE
from devices.models import DeviceAttribute
from devices.services import default_attributes
from profiles.choices import AttributeScope
from profiles.models import new_id
from provisioning.strategies import Ledger

PROVISIONED = "provisioned"


@dataclass(frozen=True, slots=True)
class AttributeRow:
    """The columns of a DeviceAttribute. A model instance costs ten times as much, for every request."""

    device_id: uuid.UUID
    scope: str
    key: str
    value: Any
    id: uuid.UUID = field(default_factory=new_id)

    def unsaved(self, at: datetime) -> DeviceAttribute:
        return DeviceAttribute(
            id=self.id, device_id=self.device_id, scope=self.scope, key=self.key, value=self.value, updated_at=at
        )


def attributes_of(ledger: Ledger) -> list[AttributeRow]:
    """Return the attributes of new devices and the provisionState of all, sorted so that locks are taken in one order."""
    return sorted(_rows(ledger), key=lambda row: (row.device_id, row.scope, row.key))


def _rows(ledger: Ledger) -> Iterator[AttributeRow]:
    for device in ledger.created:
        for entry in default_attributes(device.profile):
            yield AttributeRow(device.pk, entry["scope"], entry["key"], entry["value"])
    for device_id in [*(device.pk for device in ledger.created), *(device.pk for device in ledger.claimed)]:
        yield AttributeRow(device_id, AttributeScope.SERVER.value, PROVISION_STATE, PROVISIONED)
