"""What is counted for operators, not stored one by one: requests that belong to no key, wrong secrets, unreadable ones.

An attacker cannot fill the disk with them: one row for each minute, source, reason and key, and of those a bounded
number. The limits on guessing are elsewhere (rate_limits.py).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import Error, connection, transaction

from core.networks import source_networks
from profiles.models import ProvisioningKey
from provisioning.choices import Reason, Transport
from provisioning.messages import Origin
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.rows import AttemptRow

log = logging.getLogger(__name__)

# Sources beyond this many in one minute share one row: addresses are cheap to forge over UDP.
MAX_ROWS_PER_MINUTE = 1_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request that is counted and not stored. `key` is the one whose secret was wrong."""

    origin: Origin
    reason: Reason
    key: ProvisioningKey | None = None
    detail: str = ""

    @property
    def source(self) -> str:
        """Return the address, for IPv6 its network of 64 bits; "" when unknown."""
        return next(iter(source_networks(self.origin.address)), "")


def record(rejections: Sequence[Rejected], attempts: Sequence[AttemptRow], now: datetime) -> None:
    """Count `rejections` in the minute of `now`, and log those of them that are `attempts` with a known key.

    In a transaction of its own, after the batch. When it cannot be written, the log says so.
    """
    if not rejections:
        return
    try:
        with transaction.atomic():
            _add(rejections, now.replace(second=0, microsecond=0))
            ProvisionAttempt.objects.bulk_create([row.unsaved() for row in attempts])
    except Error as err:
        log.warning("Rejected requests could not be counted: %s", type(err).__name__)


def _add(rejections: Sequence[Rejected], minute: datetime) -> None:
    rows: dict[str, RejectedRequest] = {}
    for rejection in rejections:
        row = _row(rejection, minute)
        rows.setdefault(row.bucket, row).count += 1
        rows[row.bucket].detail = row.detail
    known = set(RejectedRequest.objects.filter(bucket__in=rows).values_list("bucket", flat=True))
    new = set(rows) - known
    if new and RejectedRequest.objects.filter(minute=minute).count() + len(new) > MAX_ROWS_PER_MINUTE:
        for bucket in new:
            row = rows.pop(bucket)
            shared = _row(Rejected(Origin(Transport(row.transport)), Reason(row.reason), detail=row.detail), minute)
            rows.setdefault(shared.bucket, shared).count += row.count
    _upsert([rows[bucket] for bucket in sorted(rows)])


def _upsert(rows: list[RejectedRequest]) -> None:
    """Add `rows` to those that stand, by one statement that both databases know and Django's ORM has no words for.

    The rows must be sorted, so that two processes take their locks in one order.
    """
    fields = RejectedRequest._meta.concrete_fields
    quote = connection.ops.quote_name
    table, columns = quote(RejectedRequest._meta.db_table), ", ".join(quote(str(field.column)) for field in fields)
    places = ", ".join(["(" + ", ".join(["%s"] * len(fields)) + ")"] * len(rows))
    sql = (
        f"INSERT INTO {table} ({columns}) VALUES {places} ON CONFLICT (bucket) "  # noqa: S608 (the text holds no values)
        f"DO UPDATE SET count = {table}.count + EXCLUDED.count, detail = EXCLUDED.detail"
    )
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for row in rows for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def _row(rejection: Rejected, minute: datetime) -> RejectedRequest:
    source = rejection.source
    key_id = rejection.key.pk if rejection.key else None
    parts = (f"{minute:%Y-%m-%dT%H:%M}", rejection.origin.transport, source or "-", rejection.reason, str(key_id or "-"))
    return RejectedRequest(
        bucket=" ".join(parts),
        minute=minute,
        transport=rejection.origin.transport,
        source=source,
        key_id=key_id,
        reason=rejection.reason,
        detail=rejection.detail,
    )
