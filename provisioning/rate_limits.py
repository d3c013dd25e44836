"""Wrong guesses and unreadable requests: counted per source and minute, and limited.

A source beyond its limit is refused whatever it shows until the minute ends. A key beyond its limit is refused to
wrong secrets only: else anyone who knows the key could keep a whole production line from provisioning.

The counts are in the database, so all processes share them. A process remembers which sources it has seen beyond
their limit, so that a request of any other source costs no query.
"""

import ipaddress
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import Sum
from django.utils import timezone

from profiles.models import ProvisioningKey
from provisioning.choices import Reason, Transport
from provisioning.messages import Origin, ProvisionOutcome
from provisioning.models import RejectedRequest

log = logging.getLogger(__name__)

GUESSES = (Reason.KEY_EMPTY, Reason.KEY_UNKNOWN, Reason.SECRET_WRONG)
# What is counted: guesses, and what came from a source that had guessed too often already.
COUNTED = (*GUESSES, Reason.TOO_MANY_GUESSES)
MINUTE = timedelta(minutes=1)
# Sources beyond this many in one minute share one row: addresses are cheap to forge over UDP.
MAX_SOURCES_PER_MINUTE = 1_000


@dataclass(frozen=True, slots=True)
class CountedRequest:
    """A request that belongs to no key, or showed a wrong secret for `key`."""

    origin: Origin
    reason: Reason
    key: ProvisioningKey | None = None
    detail: str = ""

    @property
    def source(self) -> str:
        return source_of(self.origin.address)


class _Limited:
    """The sources and keys that this process has seen beyond their limit, each until the end of that minute."""

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def add(self, what: str, until: datetime) -> None:
        with self._lock:
            now = timezone.now()
            self._until = {known: end for known, end in self._until.items() if end > now}
            self._until[what] = until

    def seconds_left(self, what: str, now: datetime) -> int:
        until = self._until.get(what)
        return max(0, int((until - now).total_seconds()) + 1) if until and until > now else 0

    def clear(self) -> None:
        with self._lock:
            self._until = {}


limited = _Limited()


@lru_cache(maxsize=10_000)
def source_of(address: str) -> str:
    """Return what stands for `address` in the counts: itself, for IPv6 its network of 64 bits, "" when not told."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def seconds_limited(origin: Origin, now: datetime) -> int:
    """Return for how many more seconds requests of `origin` are refused; 0 when they are not."""
    return limited.seconds_left(source_of(origin.address), now)


def is_key_limited(key: ProvisioningKey, now: datetime) -> bool:
    """Return whether wrong secrets for `key` are beyond its limit, so that they are counted and no longer stored."""
    return limited.seconds_left(str(key.pk), now) > 0


def is_stored(outcome: ProvisionOutcome, key: ProvisioningKey, now: datetime) -> bool:
    """Return whether the attempt gets a row of its own; beyond the limits of guessing it is only counted."""
    if outcome.reason in GUESSES:
        return not is_key_limited(key, now)
    return outcome.reason != Reason.TOO_MANY_GUESSES


def count(requests: Sequence[CountedRequest], now: datetime) -> list[bool]:
    """Count `requests`; return for each whether it is beyond a limit of its source or key.

    It has a transaction of its own: a guesser's row must not hold up the batch that others wait for. When it cannot be
    written nothing is limited, and the log says so.
    """
    if not requests:
        return []
    minute = now.replace(second=0, microsecond=0)
    try:
        with transaction.atomic():
            _add(requests, minute)
            by_source, by_key = _guesses_of(requests, minute)
    except Error as err:
        log.warning("Wrong guesses could not be counted: %s", type(err).__name__)
        return [False] * len(requests)
    beyond = [_is_beyond(request, by_source, by_key, minute) for request in reversed(requests)]
    return beyond[::-1]


def _is_beyond(request: CountedRequest, by_source: Counter[str], by_key: Counter[uuid.UUID], minute: datetime) -> bool:
    """Return whether `request`, the last of those counted, is beyond a limit, and take it off the counts."""
    if request.reason not in GUESSES:
        return False
    beyond = False
    if request.source:
        beyond = by_source[request.source] > settings.GUESSES_PER_SOURCE
        by_source[request.source] -= 1
        if beyond:
            limited.add(request.source, minute + MINUTE)
    if request.key:
        if not beyond and by_key[request.key.pk] > settings.GUESSES_PER_KEY:
            beyond = True
            limited.add(str(request.key.pk), minute + MINUTE)
        by_key[request.key.pk] -= 1
    return beyond


def _add(requests: Sequence[CountedRequest], minute: datetime) -> None:
    rows: dict[str, RejectedRequest] = {}
    for request in requests:
        row = _row(request, minute)
        rows.setdefault(row.bucket, row).count += 1
        rows[row.bucket].detail = row.detail
    known = set(RejectedRequest.objects.filter(bucket__in=rows).values_list("bucket", flat=True))
    new = set(rows) - known
    if new and RejectedRequest.objects.filter(minute=minute).count() + len(new) > MAX_SOURCES_PER_MINUTE:
        for bucket in new:
            row = rows.pop(bucket)
            shared = _row(CountedRequest(Origin(Transport(row.transport)), Reason(row.reason), detail=row.detail), minute)
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
        f"INSERT INTO {table} ({columns}) VALUES {places} ON CONFLICT (bucket) "  # noqa: S608 (no value stands in the text)
        f"DO UPDATE SET count = {table}.count + EXCLUDED.count, detail = EXCLUDED.detail"
    )
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for row in rows for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def _row(request: CountedRequest, minute: datetime) -> RejectedRequest:
    source = request.source
    key_id = request.key.pk if request.key else None
    parts = (f"{minute:%Y-%m-%dT%H:%M}", request.origin.transport, source or "-", request.reason, str(key_id or "-"))
    return RejectedRequest(
        bucket=" ".join(parts),
        minute=minute,
        transport=request.origin.transport,
        source=source,
        key_id=key_id,
        reason=request.reason,
        detail=request.detail,
    )


def _guesses_of(requests: Sequence[CountedRequest], minute: datetime) -> tuple[Counter[str], Counter[uuid.UUID]]:
    guesses = RejectedRequest.objects.filter(minute=minute, reason__in=GUESSES).order_by()
    sources = {request.source for request in requests}
    keys = {request.key.pk for request in requests if request.key}
    by_source = guesses.filter(source__in=sources).values_list("source").annotate(Sum("count"))
    by_key = guesses.filter(key_id__in=keys).values_list("key_id").annotate(Sum("count"))
    return Counter(dict(by_source)), Counter(dict(by_key))
