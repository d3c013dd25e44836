"""The provision strategies: what an admitted request becomes, given what is in the database.

They decide on a Ledger, which holds what a batch has read and what it is about to write. Each decision sees the
ones before it, so a batch comes to what its requests would have come to one at a time. No statement is run here.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from devices.credentials import Credentials, generated_token
from devices.models import Device, DeviceCredentials
from profiles.choices import Strategy
from profiles.models import ProvisioningKey
from provisioning.admission import Admitted
from provisioning.choices import ProvisionStatus, Reason
from provisioning.errors import NotFound, Refused
from provisioning.messages import ProvisionOutcome
from provisioning.new_devices import NewCredentials, NewDevice
from provisioning.retries import may_repeat


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
        """Make `credentials` those of `device`, which may have had others."""
        credentials_id = credentials.credentials_id
        row = self.credentials.get(device.pk)
        if isinstance(row, DeviceCredentials):
            self.owners.pop(row.credentials_id, None)
            row.set(credentials)
            row.updated_at = self.now
            self.changed_credentials.append(row)
        else:
            self.credentials[device.pk] = new = NewCredentials(device.pk, credentials, credentials_id)
            self.new_credentials.append(new)
        self.owners[credentials_id] = device.pk


def decide(asked: Admitted, ledger: Ledger) -> ProvisionOutcome:
    """Return the outcome of `asked`, and note in `ledger` what it takes. Raises NotFound or Refused."""
    if asked.profile.strategy == Strategy.ALLOW_CREATE:
        return _create(asked, ledger)
    return _claim(asked, ledger)


def _create(asked: Admitted, ledger: Ledger) -> ProvisionOutcome:
    """Allow to create new devices: the name must be new, in any profile."""
    existing = ledger.devices.get(asked.name)
    if existing is not None:
        # A device that names itself nothing finds its name taken by its own earlier request only (retries.generated_name).
        return _repeat(asked, existing, ledger, otherwise=Reason.NAME_TAKEN if asked.names_itself else Reason.SECOND_DEVICE)
    if asked.credentials:
        ledger.check_free(asked.credentials)
    ledger.spend(asked.key)

    device = NewDevice(asked.name, asked.profile, asked.request.gateway, asked.key.pk, asked.retry_id, ledger.now)
    ledger.give(device, asked.credentials or generated_token())
    ledger.devices[device.name] = device
    ledger.created.append(device)
    return _success(device, ledger, Reason.CREATED)


def _claim(asked: Admitted, ledger: Ledger) -> ProvisionOutcome:
    """Check for pre-provisioned devices: the device must exist in this profile and not be provisioned."""
    device = ledger.devices.get(asked.name)
    if device is None:
        raise Refused(Reason.DEVICE_UNKNOWN)
    if device.profile_id != asked.profile.pk:
        raise Refused(Reason.DEVICE_IN_OTHER_PROFILE)
    if isinstance(device, NewDevice) or device.provisioned_at is not None:
        return _repeat(asked, device, ledger, otherwise=Reason.ALREADY_PROVISIONED)
    if device.blocked:
        raise Refused(Reason.DEVICE_BLOCKED)
    if asked.credentials:
        ledger.check_free(asked.credentials, device.pk)
    ledger.spend(asked.key)

    if asked.credentials or device.pk not in ledger.credentials:
        ledger.give(device, asked.credentials or generated_token())
    device.gateway = device.gateway or asked.request.gateway
    device.provisioned_at = ledger.now
    device.provisioned_with_id = asked.key.pk
    device.retry_id = asked.retry_id
    device.first_used_at = None
    ledger.claimed.append(device)
    return _success(device, ledger, Reason.CLAIMED)


def _repeat(asked: Admitted, device: Device | NewDevice, ledger: Ledger, *, otherwise: Reason) -> ProvisionOutcome:
    """Return the earlier answer when `asked` repeats the request that got it. Raises Refused when not."""
    same_profile = device.profile_id == asked.profile.pk
    repeats = may_repeat(device, request=asked.request, retry_digest=asked.retry_id, profile=asked.profile, now=ledger.now)
    if device.blocked and (repeats or same_profile):
        raise Refused(Reason.DEVICE_BLOCKED)
    if repeats:
        return _success(device, ledger, Reason.REPEATED)
    if same_profile and device.provisioned_at is not None and (device.first_used_at or asked.request.idempotency_key):
        raise Refused(Reason.SECOND_DEVICE)
    raise Refused(otherwise)


def _success(device: Device | NewDevice, ledger: Ledger, reason: Reason) -> ProvisionOutcome:
    return ProvisionOutcome(
        ProvisionStatus.SUCCESS,
        reason,
        device_id=device.pk,
        device_name=device.name,
        credentials=ledger.credentials[device.pk].unpacked(),
    )
