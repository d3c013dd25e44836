"""Who may connect, for a broker's replica: all, and what has changed."""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from brokers.models import Broker
from brokers.replica import kept, lines
from brokers.replica.digests import CredentialsDigest, DigestKey
from devices.credentials import from_stored
from devices.models import DeviceCredentials
from events.choices import Kind
from events.selectors import page_after
from profiles.models import DeviceProfile

# The plugin numbers profiles with 16 bits.
MAX_PROFILES = 65_535
CHUNK = 5_000
# After each of these, a device's line may be another.
CHANGES = frozenset(
    {
        Kind.DEVICE_CREATED,
        Kind.DEVICE_PROVISIONED,
        Kind.DEVICE_CHANGED,
        Kind.DEVICE_BLOCKED,
        Kind.DEVICE_UNBLOCKED,
        Kind.DEVICE_RESET,
        Kind.DEVICE_DELETED,
        Kind.CREDENTIALS_CHANGED,
    }
)


class UnknownCursor(Exception):
    """Events may have come and gone unseen since: the replica needs a snapshot."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles as the feed declares them. `mark` changes when any of them does: there is no event for that."""

    numbers: dict[uuid.UUID, int]
    lines: list[str]
    mark: str

    @classmethod
    def read(cls) -> "Profiles":
        rows = list(DeviceProfile.objects.order_by("pk").values_list("pk", "name", "topic_pattern")[:MAX_PROFILES])
        declared = [lines.profile(number, *row) for number, row in enumerate(rows, 1)]
        mark = hashlib.sha256("".join(declared).encode()).hexdigest()[:12]
        return cls({row[0]: number for number, row in enumerate(rows, 1)}, declared, mark)

    def cursor(self, position: str) -> str:
        return f"{self.mark}~{position}"


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since a cursor: an answer, the cursor to go on from, and whether anything has."""

    text: str
    cursor: str
    found: bool


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A device that may connect, as the feed has it. `at`: when its credentials were changed."""

    id: uuid.UUID
    name: str
    gateway: bool
    profile_id: uuid.UUID
    at: datetime
    digest: CredentialsDigest


def snapshot(broker: Broker) -> Iterator[str]:
    """Yield the lines of all devices that may connect, some thousand at a time.

    What changes while they are read is among the changes after the snapshot's cursor, which is taken before.
    """
    key = DigestKey.of(broker.secret)
    mark = key.mark
    profiles = Profiles.read()
    cursor = profiles.cursor(page_after("").position)
    yield lines.header(cursor, _admitted().count()) + "".join(profiles.lines)
    for part in kept.ranges(CHUNK):
        text, missing = kept.kept_lines(broker, mark, part, profiles.numbers)
        devices = _read(key, missing)
        kept.keep(broker, mark, part, {device.id: (device.digest, device.at) for device in devices})
        if devices or text:
            yield "".join([text, *_lines(devices, profiles)])
    yield lines.end(cursor)


def changes(broker: Broker, cursor: str) -> Changes:
    """Return what has changed since `cursor`. Raises UnknownCursor."""
    mark, _, position = cursor.partition("~")
    page = page_after(position, kinds=CHANGES)
    if page.missed:
        raise UnknownCursor
    profiles = Profiles.read()
    changed = list(dict.fromkeys(event.device_id for event in page.events if event.device_id))
    found = bool(changed) or profiles.mark != mark
    declared = profiles.lines if found else []
    reached = profiles.cursor(page.position)
    text = "".join([*declared, *_changed_lines(broker, changed, profiles), lines.end(reached)])
    return Changes(text, reached, found=found or page.more)


def _changed_lines(broker: Broker, device_ids: list[uuid.UUID], profiles: Profiles) -> list[str]:
    if not device_ids:
        return []
    # Not kept: the next snapshot is the time for that, and a device that has just provisioned should not wait for a write.
    devices = _read(DigestKey.of(broker.secret), device_ids)
    gone = set(device_ids) - {device.id for device in devices}
    return [*_lines(devices, profiles), *map(lines.removed, sorted(gone))]


def _admitted() -> QuerySet[DeviceCredentials]:
    return DeviceCredentials.objects.filter(device__blocked=False)


def _read(key: DigestKey, device_ids: Collection[uuid.UUID]) -> list[_Admitted]:
    """Return those of `device_ids` that may connect. Decrypts their credentials."""
    if not device_ids:
        return []
    columns = ("device_id", "device__name", "device__gateway", "device__profile_id", "updated_at", "type", "value")
    rows = _admitted().filter(device_id__in=device_ids).values_list(*columns)
    return [
        _Admitted(device_id, name, gateway, profile_id, at, key.digest_of(device_id, from_stored(kind, value)))
        for device_id, name, gateway, profile_id, at, kind, value in rows
    ]


def _lines(devices: Iterable[_Admitted], profiles: Profiles) -> Iterator[str]:
    for device in devices:
        number = profiles.numbers.get(device.profile_id, 0)
        yield lines.device(device.id, device.digest, name=device.name, gateway=device.gateway, profile_number=number)
