"""The ledger of a batch: what it has read, and what it decides to write. The strategies decide on it, the store writes it."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q

from devices.credentials import Credentials, X509Certificate, certificate_claim_id
from devices.models import Device, DeviceCredentials
from profiles.models import ProvisioningKey
from provisioning.choices import Reason
from provisioning.errors import NotFound, Refused
from provisioning.rows import NewCredentials, NewDevice
from provisioning.validation import ValidRequest


@dataclass(slots=True)
class Ledger:
    """What one batch knows and decides.

    `devices` are by name, `credentials` by the id of their device, `owners` the ids of devices by credentials id. Keys
    with a use limit stand in `limited_keys`, locked; the others are not counted.
    """

    now: datetime
    devices: dict[str, Device | NewDevice]
    credentials: dict[uuid.UUID, DeviceCredentials | NewCredentials]
    owners: dict[str, uuid.UUID]
    limited_keys: dict[uuid.UUID, ProvisioningKey]
    created: list[NewDevice] = field(default_factory=list)
    claimed: list[Device] = field(default_factory=list)
    new_credentials: list[NewCredentials] = field(default_factory=list)
    changed_credentials: list[DeviceCredentials] = field(default_factory=list)
    spent_keys: dict[uuid.UUID, ProvisioningKey] = field(default_factory=dict)

    def spend(self, key: ProvisioningKey) -> None:
        """Count one use of `key`. Raises NotFound when none is left."""
        limited = self.limited_keys.get(key.pk)
        if limited is None:
            return
        if limited.is_used_up:
            raise NotFound(Reason.KEY_USED_UP)
        limited.uses += 1
        self.spent_keys[limited.pk] = limited

    def check_free(self, credentials: Credentials, device_id: uuid.UUID | None = None) -> None:
        """Raise Refused when `credentials` belong to another device than `device_id`."""
        owner = self.owners.get(credentials.credentials_id)
        if owner not in (None, device_id):
            raise Refused(Reason.CREDENTIALS_TAKEN, f"The supplied credentials belong to device {owner}.")

    def give(self, device: Device | NewDevice, credentials: Credentials) -> None:
        """Make `credentials` those of `device`, which may have had others. A certificate is only claimed: it is public."""
        row = self.credentials.get(device.pk)
        if isinstance(row, DeviceCredentials):
            self.owners.pop(row.credentials_id, None)
            if isinstance(credentials, X509Certificate):
                row.claim(credentials)
            else:
                row.set(credentials)
            row.updated_at = self.now
            self.changed_credentials.append(row)
            self.owners[row.credentials_id] = device.pk
            return
        credentials_id, claim = credentials.credentials_id, ""
        if isinstance(credentials, X509Certificate):
            credentials_id, claim = certificate_claim_id(device.pk, credentials_id), credentials_id
        self.credentials[device.pk] = new = NewCredentials(device.pk, credentials, credentials_id, claim)
        self.new_credentials.append(new)
        self.owners[credentials_id] = device.pk


def blank_ledger(now: datetime) -> Ledger:
    """Return a ledger that takes every name and all credentials for new, without asking.

    What it leads to is right exactly if it can be written, which the unique constraints decide.
    """
    return Ledger(now=now, limited_keys={}, devices={}, credentials={}, owners={})


def read_ledger(requests: Iterable[ValidRequest], now: datetime) -> Ledger:
    """Return what the database knows of the names, credentials and limited keys of `requests`.

    Keys with a use limit and existing devices are locked, in this order and each sorted, so that two batches never
    wait for each other in a circle. Credentials are read after that: read by the statement that waits for a lock, they
    would be those of before the wait (PostgreSQL manual, 13.2.1). At most three statements.
    """
    valid = list(requests)
    key_ids = {one.key.pk for one in valid if one.key.use_limit is not None}
    names = {one.name for one in valid}
    ids = {one.credentials.credentials_id for one in valid if one.credentials}
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
