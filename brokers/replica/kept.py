"""The digests that are kept: lines made of them, by the database, and those that are new or outdated.

A line made in Python takes some 50 µs, all of it under the interpreter's lock of a web process that has others to serve.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from brokers.models import Broker
from brokers.replica.digests import CredentialsDigest
from brokers.replica.models import ReplicaDigest
from devices.models import DeviceCredentials
from imports import bulk

Made = Mapping[uuid.UUID, tuple[CredentialsDigest, datetime]]
_COLUMNS = ("broker", "device_id", "mark", "credentials_at", "lookup", "password")
_FIRST, _LAST = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)

# In place of the profile's number: it is no part of a name here, and all lines of a group have the same.
_NUMBER = "\t"
# For each profile the lines of the devices whose digest is kept and current, and the ids of the others. A name with
# control characters is left to lines.py. The range is given for each table: no plan reads more of any of them.
_SELECT = r"""
    SELECT device.profile_id,
           {join}(CASE WHEN {usable} THEN
               '+ ' || {id} || CASE WHEN device.gateway THEN ' g ' ELSE ' - ' END || %(number)s || ' ' || digest.lookup ||
               CASE WHEN digest.password = '' THEN ' - ' ELSE ' ' || digest.password || ' ' END ||
               replace(device.name, '%%', '%%25') || %(newline)s END, ''),
           {join}(CASE WHEN NOT ({usable}) THEN {id} END, ' ')
    FROM devices_devicecredentials AS credentials
    JOIN devices_device AS device ON device.id = credentials.device_id AND device.id > %(after)s AND device.id <= %(last)s
    LEFT JOIN brokers_replicadigest AS digest
        ON digest.device_id = credentials.device_id AND digest.device_id > %(after)s AND digest.device_id <= %(last)s
        AND digest.broker_id = %(broker)s AND digest.mark = %(mark)s AND digest.credentials_at = credentials.updated_at
    WHERE credentials.device_id > %(after)s AND credentials.device_id <= %(last)s AND NOT device.blocked
    GROUP BY device.profile_id"""
# PostgreSQL takes a range of ids for one row, and what it knows of the table of digests is wrong while the first snapshot
# fills that: it would join five thousand rows with each of five thousand, some seconds for each range. Each table's index
# and a hash or merge are right in any case.
_PLAN = "SET LOCAL enable_nestloop = off; SET LOCAL enable_seqscan = off"
_DIALECTS = {
    "postgresql": {
        "join": "string_agg",
        "id": "replace(credentials.device_id::text, '-', '')",
        "usable": r"""digest.id IS NOT NULL AND device.name COLLATE "C" !~ '[\x01-\x1f\x7f]'""",
    },
    "sqlite": {
        "join": "group_concat",
        "id": "credentials.device_id",
        "usable": "digest.id IS NOT NULL AND device.name NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || ']*'",
    },
}


@dataclass(frozen=True, slots=True)
class Range:
    """The devices with an id above `after`, up to `last`."""

    after: uuid.UUID
    last: uuid.UUID

    @property
    def condition(self) -> Q:
        return Q(device_id__gt=self.after, device_id__lte=self.last)


def ranges(size: int) -> Iterator[Range]:
    """Yield ranges of `size` devices with credentials, which together have every id that there can be."""
    after = _FIRST
    while after != _LAST:
        ids = DeviceCredentials.objects.filter(device_id__gt=after).order_by("device_id").values_list("device_id", flat=True)
        last = ids[size - 1 : size].first() or _LAST
        yield Range(after, last)
        after = last


def kept_lines(broker: Broker, mark: int, part: Range, numbers: Mapping[uuid.UUID, int]) -> tuple[str, list[uuid.UUID]]:
    """Return the lines of devices in `part` that may connect and whose digest is kept, and the ids of those that have none.

    `mark` is the one of the digests' key, `numbers` has the numbers of the profiles.
    """
    parameters: dict[str, str | int] = {
        "after": part.after.hex,
        "last": part.last.hex,
        "broker": broker.pk.hex,
        "mark": mark,
        "number": _NUMBER,
        "newline": "\n",
    }
    with _planned_for_ranges(), connection.cursor() as cursor:
        cursor.execute(_SELECT.format_map(_DIALECTS[connection.vendor]), parameters)
        groups = cursor.fetchall()
    lines, missing = [], []
    for profile_id, text, ids in groups:
        number = numbers.get(profile_id if isinstance(profile_id, uuid.UUID) else uuid.UUID(profile_id), 0)
        lines.append((text or "").replace(_NUMBER, str(number)))
        missing += [uuid.UUID(one) for one in (ids or "").split()]
    return "".join(lines), missing


def keep(broker: Broker, mark: int, part: Range, made: Made) -> None:
    """Keep what was made for devices in `part`, with the times of the credentials that it was made of.

    What is kept of other devices there and no longer true is deleted. Two snapshots of one broker at the same time do
    not trip over each other: one waits.
    """
    kept = ReplicaDigest.objects.filter(part.condition, broker=broker)
    outdated = _outdated(kept, mark, part)
    if not made and not outdated:
        return
    hex_id = broker.pk.hex
    with transaction.atomic():
        Broker.objects.select_for_update().filter(pk=broker.pk).values_list("pk").first()
        replaced = outdated | made.keys() & set(kept.values_list("device_id", flat=True))
        if replaced:
            kept.filter(device_id__in=replaced).delete()
        bulk.insert(
            ReplicaDigest,
            _COLUMNS,
            (
                (hex_id, device_id.hex, mark, bulk.moment(at), digest.lookup, digest.password)
                for device_id, (digest, at) in made.items()
            ),
        )


def _outdated(kept: QuerySet[ReplicaDigest], mark: int, part: Range) -> set[uuid.UUID]:
    """Return the devices in `part` whose digest in `kept` has another key, or was made of other credentials than there are."""
    current = DeviceCredentials.objects.filter(
        part.condition, device_id=OuterRef("device_id"), updated_at=OuterRef("credentials_at")
    )
    # Two statements: with OR, PostgreSQL reads all credentials for each range.
    other_key, others = kept.exclude(mark=mark), kept.filter(~Exists(current), mark=mark)
    with _planned_for_ranges():
        return {*other_key.values_list("device_id", flat=True), *others.values_list("device_id", flat=True)}


@contextmanager
def _planned_for_ranges() -> Iterator[None]:
    """A transaction in which statements that join the tables within a range are planned right, see _PLAN."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(_PLAN)
        yield
