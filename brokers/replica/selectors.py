"""Who may connect, for a broker's replica: all, and what has changed."""

import hashlib
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from brokers.models import Broker
from brokers.replica import lines
from brokers.replica.digests import CredentialsDigest, DigestKey
from brokers.replica.kept import digests_of, drop_after
from devices.models import DeviceCredentials
from events.choices import Kind
from events.selectors import page_after
from profiles.models import DeviceProfile

# Device, its name, whether it is a gateway, its profile, when its credentials were changed.
Row = tuple[uuid.UUID, str, bool, uuid.UUID, datetime]
# The plugin numbers profiles with 16 bits.
MAX_PROFILES = 65_535
CHUNK = 2_000
POLL_INTERVAL_S = 0.5
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


def snapshot(broker: Broker) -> Iterator[str]:
    """Yield the lines of all devices that may connect, some thousand at a time.

    What changes while they are read is among the changes after the snapshot's cursor, which is taken before.
    """
    key = DigestKey.of(broker.secret)
    profiles = Profiles.read()
    cursor = profiles.cursor(page_after("").position)
    yield lines.header(cursor, _admitted().count()) + "".join(profiles.lines)
    last = uuid.UUID(int=0)
    while rows := list(_rows(_admitted().filter(device_id__gt=last).order_by("device_id")[:CHUNK])):
        digests = digests_of(broker, key, [(row[0], row[4]) for row in rows], after=last)
        yield "".join(_lines(rows, digests, profiles))
        last = rows[-1][0]
    drop_after(broker, last)
    yield lines.end(cursor)


def changes(broker: Broker, cursor: str, wait_s: float) -> str:
    """Return the lines of what has changed since `cursor`, after `wait_s` seconds at the latest. Raises UnknownCursor."""
    mark, _, position = cursor.partition("~")
    deadline = time.monotonic() + wait_s
    while True:
        page = page_after(position, kinds=CHANGES)
        if page.missed:
            raise UnknownCursor
        profiles = Profiles.read()
        changed = list(dict.fromkeys(event.device_id for event in page.events if event.device_id))
        if changed or page.more or profiles.mark != mark or time.monotonic() >= deadline:
            break
        position = page.position
        # In this thread: views.py lets only a few calls of a process wait, for seconds.
        time.sleep(POLL_INTERVAL_S)
    declared = profiles.lines if changed or profiles.mark != mark else []
    return "".join([*declared, *_changed_lines(broker, changed, profiles), lines.end(profiles.cursor(page.position))])


def _changed_lines(broker: Broker, device_ids: list[uuid.UUID], profiles: Profiles) -> list[str]:
    if not device_ids:
        return []
    key = DigestKey.of(broker.secret)
    rows = list(_rows(_admitted().filter(device_id__in=device_ids)))
    # Not kept: the next snapshot is the time for that, and a device that has just provisioned should not wait for a write.
    credentials = DeviceCredentials.objects.filter(device_id__in=[row[0] for row in rows])
    digests = {row.device_id: key.digest_of(row.device_id, row.unpacked()) for row in credentials}
    gone = set(device_ids) - set(digests)
    return [*_lines(rows, digests, profiles), *map(lines.removed, sorted(gone))]


def _admitted() -> QuerySet[DeviceCredentials]:
    return DeviceCredentials.objects.filter(device__blocked=False)


def _rows(credentials: QuerySet[DeviceCredentials]) -> QuerySet[DeviceCredentials, Row]:
    return credentials.values_list("device_id", "device__name", "device__gateway", "device__profile_id", "updated_at")


def _lines(rows: Iterable[Row], digests: dict[uuid.UUID, CredentialsDigest], profiles: Profiles) -> Iterator[str]:
    for device_id, name, gateway, profile_id, _ in rows:
        if digest := digests.get(device_id):
            number = profiles.numbers.get(profile_id, 0)
            yield lines.device(device_id, digest, name=name, gateway=gateway, profile_number=number)
