"""The row of the attempts log that a request leaves."""

import uuid
from dataclasses import dataclass, field, fields
from datetime import datetime

from profiles.models import ProvisioningKey, new_id
from profiles.text import storable
from provisioning import guesses
from provisioning.choices import Reason
from provisioning.messages import ProvisionOutcome, ProvisionRequest
from provisioning.models import ProvisionAttempt


def is_stored(outcome: ProvisionOutcome, key: ProvisioningKey, now: datetime) -> bool:
    """Return whether the attempt gets a row of its own; beyond the limits of guessing it is only counted."""
    if outcome.reason in guesses.GUESSES:
        return not guesses.is_key_limited(key, now)
    return outcome.reason != Reason.TOO_MANY_GUESSES


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """The columns of a ProvisionAttempt. A model instance costs ten times as much, for every request."""

    created_at: datetime
    transport: str
    address: str
    request_id: str
    profile_id: uuid.UUID
    key_id: uuid.UUID
    device_name: str
    device_id: uuid.UUID | None
    outcome: str
    reason: str
    detail: str
    id: uuid.UUID = field(default_factory=new_id)

    def unsaved(self) -> ProvisionAttempt:
        return ProvisionAttempt(**{column.name: getattr(self, column.name) for column in fields(self)})


def attempt_of(request: ProvisionRequest, outcome: ProvisionOutcome, key: ProvisioningKey, now: datetime) -> AttemptRow:
    """Return the row that says what `request` came to. Whatever a device sent is made fit for its column."""
    return AttemptRow(
        created_at=now,
        transport=request.origin.transport,
        address=storable(request.origin.address, 64),
        request_id=storable(request.origin.request_id, 64),
        profile_id=key.profile_id,
        key_id=key.pk,
        device_name=storable(outcome.device_name or (request.device_name or "").strip()),
        device_id=outcome.device_id,
        outcome=outcome.status,
        reason=outcome.reason,
        detail=storable(outcome.detail),
    )
