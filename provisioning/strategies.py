"""The provision strategies: decide on a valid request, given what is in the database.

They decide on a Ledger, which holds what a batch has read and what it is about to write. Each decision sees the
ones before it, so each gets the outcome it would get if processed alone, in order. No statement is run here.
"""

from devices.credentials import Credentials, X509Certificate, generated_token, opened_by, renewed
from devices.models import Device, DeviceCredentials
from profiles.choices import Strategy
from provisioning.choices import ProvisionStatus, Reason
from provisioning.errors import Refused
from provisioning.ledger import Ledger
from provisioning.messages import ProvisionOutcome
from provisioning.retries import may_repeat
from provisioning.rows import NewDevice
from provisioning.validation import ValidRequest


def decide(valid: ValidRequest, ledger: Ledger) -> ProvisionOutcome:
    """Return the outcome of `valid`, and note in `ledger` what it takes. Raises NotFound or Refused."""
    if valid.profile.strategy == Strategy.ALLOW_CREATE:
        return _create(valid, ledger)
    return _claim(valid, ledger)


def _create(valid: ValidRequest, ledger: Ledger) -> ProvisionOutcome:
    """Allow to create new devices: the name must be new, in any profile."""
    existing = ledger.devices.get(valid.name)
    if existing is not None:
        # A device that names itself nothing finds its name taken by its own earlier request only (retries.generated_name).
        return _repeat(valid, existing, ledger, otherwise=Reason.NAME_TAKEN if valid.names_itself else Reason.SECOND_DEVICE)
    if valid.credentials:
        ledger.check_free(valid.credentials)
    ledger.spend(valid.key)

    device = NewDevice(valid.name, valid.profile, valid.request.gateway, valid.key.pk, valid.retry_id, ledger.now)
    ledger.give(device, valid.credentials or generated_token())
    ledger.devices[device.name] = device
    ledger.created.append(device)
    return _success(device, ledger, Reason.CREATED)


def _claim(valid: ValidRequest, ledger: Ledger) -> ProvisionOutcome:
    """Check for pre-provisioned devices: the device must exist in this profile and not be provisioned."""
    device = ledger.devices.get(valid.name)
    if device is None:
        raise Refused(Reason.DEVICE_UNKNOWN)
    if device.profile_id != valid.profile.pk:
        raise Refused(Reason.DEVICE_IN_OTHER_PROFILE)
    if isinstance(device, NewDevice) or device.provisioned_at is not None:
        return _repeat(valid, device, ledger, otherwise=Reason.ALREADY_PROVISIONED)
    if device.blocked:
        raise Refused(Reason.DEVICE_BLOCKED)
    new = _credentials_of_claim(valid, device, ledger)
    ledger.spend(valid.key)

    if new:
        ledger.give(device, new)
    device.gateway = device.gateway or valid.request.gateway
    device.provisioned_at = ledger.now
    device.provisioned_with_id = valid.key.pk
    device.retry_id = valid.retry_id
    device.first_used_at = None
    ledger.claimed.append(device)
    return _success(device, ledger, Reason.CLAIMED)


def _credentials_of_claim(valid: ValidRequest, device: Device, ledger: Ledger) -> Credentials | None:
    """Return the new credentials of a claim, supplied or generated; None if the stored ones stay. Raises Refused.

    Source: docs/protocol.md, *Reset and replace*.
    """
    row = ledger.credentials.get(device.pk)
    stored = row if isinstance(row, DeviceCredentials) else None
    if valid.credentials:
        ledger.check_free(valid.credentials, device.pk)
        if stored and _is_spent(stored, valid.credentials):
            raise Refused(Reason.CREDENTIALS_SPENT)
        has_it = isinstance(valid.credentials, X509Certificate) and stored and stored.unpacked() == valid.credentials
        return None if has_it else valid.credentials
    if stored and stored.renew:
        return renewed(stored.unpacked())
    return None if row else generated_token()


def _is_spent(row: DeviceCredentials, brought: Credentials) -> bool:
    """Return whether the device had the credentials `brought` before it was reset or replaced."""
    return brought.credentials_id == row.retired_id or (row.renew and opened_by(brought, row.unpacked()))


def _repeat(valid: ValidRequest, device: Device | NewDevice, ledger: Ledger, *, otherwise: Reason) -> ProvisionOutcome:
    """Return the earlier answer when `valid` repeats the request that got it. Raises Refused when not."""
    same_profile = device.profile_id == valid.profile.pk
    repeats = may_repeat(device, request=valid.request, retry_digest=valid.retry_id, profile=valid.profile, now=ledger.now)
    if device.blocked and (repeats or same_profile):
        raise Refused(Reason.DEVICE_BLOCKED)
    if repeats:
        return _success(device, ledger, Reason.REPEATED)
    if same_profile and device.provisioned_at is not None and (device.first_used_at or valid.request.idempotency_key):
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
