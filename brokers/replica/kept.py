"""Digests for a snapshot: those that are kept, and the missing ones made and kept."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from brokers.models import Broker
from brokers.replica.digests import CredentialsDigest, DigestKey
from brokers.replica.models import ReplicaDigest
from devices.models import DeviceCredentials
from imports import bulk

Made = dict[uuid.UUID, tuple[CredentialsDigest, datetime]]
_COLUMNS = ("broker", "device_id", "mark", "credentials_at", "lookup", "password")


def digests_of(
    broker: Broker, key: DigestKey, wanted: Sequence[tuple[uuid.UUID, datetime]], *, after: uuid.UUID
) -> dict[uuid.UUID, CredentialsDigest]:
    """Return the digests of the devices `wanted`, each given with the time its credentials were changed, in order of ids.

    A device whose credentials are gone meanwhile has none. What is kept of other devices, from `after` to the last of
    `wanted`, is deleted: they do not exist any more, or may not connect.
    """
    times, key_mark = dict(wanted), key.mark
    kept = ReplicaDigest.objects.filter(broker=broker, device_id__gt=after, device_id__lte=wanted[-1][0])
    fresh: dict[uuid.UUID, CredentialsDigest] = {}
    outdated: list[uuid.UUID] = []
    for device_id, mark, at, lookup, password in kept.values_list("device_id", "mark", "credentials_at", "lookup", "password"):
        if mark == key_mark and times.get(device_id) == at:
            fresh[device_id] = CredentialsDigest(lookup, password)
        else:
            outdated.append(device_id)
    made = _make(key, [device_id for device_id in times if device_id not in fresh])
    if made or outdated:
        _keep(broker, key, outdated, made)
    return fresh | {device_id: digest for device_id, (digest, _) in made.items()}


def drop_after(broker: Broker, device_id: uuid.UUID) -> None:
    """Delete what is kept of devices beyond the last one of a snapshot."""
    ReplicaDigest.objects.filter(broker=broker, device_id__gt=device_id).delete()


def _make(key: DigestKey, device_ids: list[uuid.UUID]) -> Made:
    """Decrypt the credentials of `device_ids`; return their digests and the times of what was read."""
    rows = DeviceCredentials.objects.filter(device_id__in=device_ids) if device_ids else ()
    return {row.device_id: (key.digest_of(row.device_id, row.unpacked()), row.updated_at) for row in rows}


def _keep(broker: Broker, key: DigestKey, outdated: list[uuid.UUID], made: Made) -> None:
    """Replace what is kept. Two snapshots of one broker at the same time do not trip over each other: one waits."""
    hex_id, mark = broker.pk.hex, key.mark
    with transaction.atomic():
        Broker.objects.select_for_update().filter(pk=broker.pk).values_list("pk").first()
        ReplicaDigest.objects.filter(broker=broker, device_id__in=[*outdated, *made]).delete()
        bulk.insert(
            ReplicaDigest,
            _COLUMNS,
            (
                (hex_id, device_id.hex, mark, bulk.moment(at), digest.lookup, digest.password)
                for device_id, (digest, at) in made.items()
            ),
        )
