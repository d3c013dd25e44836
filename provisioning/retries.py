"""A reply can be lost: which request is a repetition of which, and for how long it gets the same answer.

Source of the rules: docs/protocol.md, *Retries*.
"""

import hashlib
import uuid
from datetime import datetime, timedelta

from core.encryption import lookup_id
from core.random_text import ALPHANUMERIC, RANDOM_LENGTH, random_alphanumeric
from devices.credentials import Credentials
from devices.models import Device
from profiles.models import DeviceProfile
from provisioning.messages import ProvisionRequest
from provisioning.rows import NewDevice

IDEMPOTENCY_WINDOW = timedelta(hours=24)


def retry_id(request: ProvisionRequest, *, key_id: uuid.UUID, name: str, credentials: Credentials | None) -> str:
    """Return the digest that a request shares with its repetitions, 64 hex digits; "" if it could be another's.

    A request without idempotency key, name and credentials is the same for every device of a batch: repeating the
    answer would give one device's credentials to another.
    """
    if request.idempotency_key:
        return lookup_id("retry by key", str(key_id), name, request.idempotency_key)
    if not name and not credentials:
        return ""
    brought = (credentials.type, credentials.stored_value) if credentials else ()
    return lookup_id("retry by request", str(key_id), name, str(request.gateway), *brought)


def generated_name(retry_digest: str) -> str:
    """Return a name of 20 alphanumeric characters for a device that names none.

    It follows from the retry id where there is one, so that the repeated request finds the device again and two
    concurrent ones collide on the name, like those of devices that do have one.
    """
    if not retry_digest:
        return random_alphanumeric()
    number = int.from_bytes(hashlib.sha256(retry_digest.encode()).digest(), "big")
    characters = []
    for _ in range(RANDOM_LENGTH):
        number, index = divmod(number, len(ALPHANUMERIC))
        characters.append(ALPHANUMERIC[index])
    return "".join(characters)


def may_repeat(
    device: Device | NewDevice, *, request: ProvisionRequest, retry_digest: str, profile: DeviceProfile, now: datetime
) -> bool:
    """Return whether `request` repeats the one that provisioned `device`, and may have the same answer once more."""
    if not retry_digest or device.retry_id != retry_digest or device.provisioned_at is None or device.first_used_at:
        return False
    window = IDEMPOTENCY_WINDOW if request.idempotency_key else timedelta(seconds=profile.retry_window_s)
    # Not by the clock alone: `now` is before `provisioned_at` where another process was first while this one waited.
    return bool(window) and now - device.provisioned_at < window
