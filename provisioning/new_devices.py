"""The rows of devices that a batch creates, while it decides. A model instance costs ten times as much, for every request."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from devices.credentials import Credentials
from devices.models import Device, DeviceCredentials
from profiles.models import DeviceProfile, new_id


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
        row.set(self.credentials)
        return row
