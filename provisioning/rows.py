"""The rows that a batch writes, while it decides. A model instance costs ten times as much, for every request."""

import uuid
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar

from core.ids import new_id
from core.text import sanitized
from devices.credentials import Credentials, X509Certificate
from devices.models import Device, DeviceAttribute, DeviceCredentials
from profiles.models import DeviceProfile, ProvisioningKey
from provisioning.messages import ProvisionOutcome, ProvisionRequest
from provisioning.models import ProvisionAttempt


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A Device that is provisioned as it is created. It reads like one."""

    name: str
    profile: DeviceProfile
    gateway: bool
    provisioned_with_id: uuid.UUID
    retry_id: str
    provisioned_at: datetime
    pk: uuid.UUID = field(default_factory=new_id)

    blocked: ClassVar[bool] = False
    first_used_at: ClassVar[None] = None

    @property
    def profile_id(self) -> uuid.UUID:
        return self.profile.pk

    def unsaved(self) -> Device:
        return Device(
            pk=self.pk,
            name=self.name,
            profile=self.profile,
            gateway=self.gateway,
            provisioned_with_id=self.provisioned_with_id,
            retry_id=self.retry_id,
            provisioned_at=self.provisioned_at,
            created_at=self.provisioned_at,
        )


@dataclass(frozen=True, slots=True)
class NewCredentials:
    """DeviceCredentials of a device that had none. `credentials_id` is a digest, so it is taken once."""

    device_id: uuid.UUID
    credentials: Credentials = field(repr=False)
    credentials_id: str
    certificate_claim: str = ""

    @property
    def type(self) -> str:
        return self.credentials.type

    @property
    def value(self) -> str:
        return self.credentials.stored_value

    def unpacked(self) -> Credentials:
        return self.credentials

    def unsaved(self) -> DeviceCredentials:
        row = DeviceCredentials(device_id=self.device_id)
        if isinstance(self.credentials, X509Certificate):
            row.claim(self.credentials)
        else:
            row.set(self.credentials)
        return row


@dataclass(frozen=True, slots=True)
class AttributeRow:
    """The columns of a DeviceAttribute."""

    device_id: uuid.UUID
    scope: str
    key: str
    value: Any
    id: uuid.UUID = field(default_factory=new_id)

    def unsaved(self, at: datetime) -> DeviceAttribute:
        return DeviceAttribute(
            id=self.id, device_id=self.device_id, scope=self.scope, key=self.key, value=self.value, updated_at=at
        )


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """The columns of a ProvisionAttempt."""

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
    """Return the attempt row for `request` and its outcome. Text from the device is sanitized."""
    return AttemptRow(
        created_at=now,
        transport=request.origin.transport,
        address=sanitized(request.origin.address, 64),
        request_id=sanitized(request.origin.request_id, 64),
        profile_id=key.profile_id,
        key_id=key.pk,
        device_name=sanitized(outcome.device_name or (request.device_name or "").strip()),
        device_id=outcome.device_id,
        outcome=outcome.status,
        reason=outcome.reason,
        detail=sanitized(outcome.detail),
    )
