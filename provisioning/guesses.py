"""Wrong guesses and unreadable requests: counted per source and minute, and limited.

A source beyond its limit is refused whatever it shows until the minute ends. A key beyond its limit is refused to
wrong secrets only: else anyone who knows the key could keep a whole production line from provisioning.

The counts are in the database, so all processes share them. A process remembers which sources it has seen beyond
their limit, so that a request of any other source costs no query.
"""

import ipaddress
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F, Sum
from django.utils import timezone

from profiles.models import ProvisioningKey
from provisioning.choices import Reason, Transport
from provisioning.messages import Origin
from provisioning.models import UnattributedAttempts

log = logging.getLogger(__name__)

GUESSES = (Reason.KEY_UNKNOWN, Reason.SECRET_WRONG)
MINUTE = timedelta(minutes=1)
# Sources beyond this many in one minute share one row: addresses are cheap to forge over UDP.
MAX_SOURCES_PER_MINUTE = 1_000


@dataclass(frozen=True, slots=True)
class Rejection:
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


def count(rejections: Iterable[Rejection], now: datetime) -> set[Rejection]:
    """Count `rejections`, and return those beyond a limit of their source or key.

    It has a transaction of its own: a guesser's row must not hold up the batch that others wait for. When it cannot be
    written nothing is limited, and the log says so.
    """
    pending = list(rejections)
    if not pending:
        return set()
    minute = now.replace(second=0, microsecond=0)
    try:
        with transaction.atomic():
            _add(pending, minute)
            by_source, by_key = _guesses_of(pending, minute)
    except DatabaseError as err:
        log.warning("Wrong guesses could not be counted: %s", type(err).__name__)
        return set()
    beyond = set()
    for rejection in pending:
        if rejection.reason not in GUESSES:
            continue
        if rejection.source and by_source.get(rejection.source, 0) > settings.GUESSES_PER_SOURCE:
            limited.add(rejection.source, minute + MINUTE)
            beyond.add(rejection)
        elif rejection.key and by_key.get(rejection.key.pk, 0) > settings.GUESSES_PER_KEY:
            limited.add(str(rejection.key.pk), minute + MINUTE)
            beyond.add(rejection)
    return beyond


def _add(rejections: list[Rejection], minute: datetime) -> None:
    rows: dict[str, UnattributedAttempts] = {}
    counts: Counter[str] = Counter()
    for rejection in rejections:
        row = _row(rejection, minute)
        rows[row.bucket] = row
        counts[row.bucket] += 1
    known = set(UnattributedAttempts.objects.filter(bucket__in=rows).values_list("bucket", flat=True))
    new = sorted(set(rows) - known)
    if new and UnattributedAttempts.objects.filter(minute=minute).count() + len(new) > MAX_SOURCES_PER_MINUTE:
        for bucket in new:
            row = rows.pop(bucket)
            shared = _row(Rejection(Origin(Transport(row.transport)), Reason(row.reason), detail=row.detail), minute)
            rows[shared.bucket] = shared
            counts[shared.bucket] += counts.pop(bucket)
    # Sorted, so that two processes take their row locks in one order.
    UnattributedAttempts.objects.bulk_create([rows[bucket] for bucket in sorted(rows)], ignore_conflicts=True)
    for bucket in sorted(rows):
        UnattributedAttempts.objects.filter(bucket=bucket).update(count=F("count") + counts[bucket], detail=rows[bucket].detail)


def _row(rejection: Rejection, minute: datetime) -> UnattributedAttempts:
    source = rejection.source
    key_id = rejection.key.pk if rejection.key else None
    parts = (f"{minute:%Y-%m-%dT%H:%M}", rejection.origin.transport, source or "-", rejection.reason, str(key_id or "-"))
    return UnattributedAttempts(
        bucket=" ".join(parts),
        minute=minute,
        transport=rejection.origin.transport,
        source=source,
        key_id=key_id,
        reason=rejection.reason,
        detail=rejection.detail,
    )


def _guesses_of(rejections: list[Rejection], minute: datetime) -> tuple[Mapping[str, int], Mapping[object, int]]:
    guesses = UnattributedAttempts.objects.filter(minute=minute, reason__in=GUESSES).order_by()
    sources = {rejection.source for rejection in rejections}
    keys = {rejection.key.pk for rejection in rejections if rejection.key}
    by_source = guesses.filter(source__in=sources).values_list("source").annotate(Sum("count"))
    by_key = guesses.filter(key_id__in=keys).values_list("key_id").annotate(Sum("count"))
    return dict(by_source), dict(by_key)
