"""Limits on guessing: wrong keys and secrets are counted by source and by key, and those beyond a limit answered so.

Only wrong guesses are limited. A right secret is served whatever its source or key has been used for before: behind
one NAT or balancer stand a guesser and a whole production line, and anybody can forge a UDP source. So a limit does
not hide which guess was right; that takes a secret that cannot be guessed. It keeps guessers from filling the log and
the attempts, and over CoAP it is what makes a source prove its address.

The counts are in the database, so all processes share them. A process remembers what it has seen beyond a limit, and
counts that no further. UDP has counts of its own, and so have UDP sources that have proven their address.
"""

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import Error, connection, transaction
from django.utils import timezone

from core.networks import source_networks
from profiles.models import ProvisioningKey
from provisioning.choices import Reason, Transport
from provisioning.messages import Origin
from provisioning.models import GuessCount

log = logging.getLogger(__name__)

GUESSES = (Reason.KEY_EMPTY, Reason.KEY_UNKNOWN, Reason.SECRET_WRONG, Reason.SECRET_NOT_DERIVED)
MINUTE = timedelta(minutes=1)
# A network of 48 bits may have many honest sites in it.
WIDER_NETWORK_FACTOR = 10
# Networks that are counted in one minute. When there are more, those with the fewest guesses make way, and what they
# had counts for each that comes after them (the Space-Saving algorithm): many sources do not hide one that guesses much.
MAX_COUNTED = 2_000
KEPT_WHEN_FULL = 1_500
_FORGOTTEN = "forgotten"
_KEYS = "key"


class Bucket(NamedTuple):
    """What guesses are counted for: a network, in its group, or a provisioning key."""

    group: str
    what: str


@dataclass(frozen=True, slots=True)
class Guess:
    """A request with a wrong secret for `key`, or with none or an unknown key."""

    origin: Origin
    key: ProvisioningKey | None = None


class _Limited:
    """The networks and keys that this process has seen beyond their limit, each until the end of that minute."""

    def __init__(self) -> None:
        self._until: dict[Bucket, datetime] = {}
        self._lock = threading.Lock()

    def add(self, what: Bucket, until: datetime) -> None:
        with self._lock:
            now = timezone.now()
            self._until = {known: end for known, end in self._until.items() if end > now}
            self._until[what] = until

    def __contains__(self, what: Bucket) -> bool:
        until = self._until.get(what)
        return until is not None and until > timezone.now()

    def clear(self) -> None:
        with self._lock:
            self._until = {}


limited = _Limited()


def count(guesses: Sequence[Guess], now: datetime) -> list[bool]:
    """Count `guesses`; return for each whether it is beyond a limit, in order, as if they had come one by one.

    It has a transaction of its own: a guesser's row must not hold up the batch that others wait for. When it cannot be
    written nothing is limited, and the log says so.
    """
    minute = now.replace(second=0, microsecond=0)
    buckets = [_limits_of(guess) for guess in guesses]
    known = [any(bucket in limited for bucket in limits) for limits in buckets]
    counted = [limits for limits, is_known in zip(buckets, known, strict=True) if not is_known]
    try:
        totals = _add(Counter(bucket for limits in counted for bucket in limits), minute)
    except Error as err:
        log.warning("Wrong guesses could not be counted: %s", type(err).__name__)
        return known
    beyond = iter([_is_beyond(limits, totals, minute) for limits in reversed(counted)][::-1])
    return [is_known or next(beyond) for is_known in known]


def group_of(origin: Origin) -> str:
    """Return which counts are for `origin`: a UDP source can be forged, unless it has proven its address."""
    if origin.transport != Transport.COAP:
        return "tcp"
    return "udp-proven" if origin.proven else "udp"


def _limits_of(guess: Guess) -> dict[Bucket, int]:
    """Return the buckets in which `guess` is counted, each with its limit."""
    limits = {}
    for place, network in enumerate(source_networks(guess.origin.address)):
        limits[Bucket(group_of(guess.origin), network)] = settings.GUESSES_PER_SOURCE * WIDER_NETWORK_FACTOR**place
    if guess.key:
        limits[Bucket(_KEYS, str(guess.key.pk))] = settings.GUESSES_PER_KEY
    return limits


def _is_beyond(limits: dict[Bucket, int], totals: Counter[Bucket], minute: datetime) -> bool:
    """Return whether the last guess that was counted in `totals` is beyond one of `limits`, and take it off."""
    beyond = [bucket for bucket, limit in limits.items() if totals[bucket] > limit]
    for bucket in beyond:
        limited.add(bucket, minute + MINUTE)
    totals.subtract(limits.keys())
    return bool(beyond)


def _add(counts: Counter[Bucket], minute: datetime) -> Counter[Bucket]:
    """Add `counts` to those of `minute`; return what each bucket may have by now, forgotten guesses included."""
    if not counts:
        return counts
    with transaction.atomic():
        totals = _upsert(counts, minute)
    # What is counted for the first time needs room, and may be the first of its minute.
    if any(totals[bucket] == number for bucket, number in counts.items()):
        GuessCount.objects.filter(minute__lt=minute - MINUTE).delete()
        for group in {bucket.group for bucket in counts} - {_KEYS}:
            _make_room(group, minute)
    forgotten = dict(GuessCount.objects.filter(minute=minute, what=_FORGOTTEN).values_list("group", "count"))
    return Counter({bucket: total + forgotten.get(bucket.group, 0) for bucket, total in totals.items()})


def _make_room(group: str, minute: datetime) -> None:
    """Forget the networks of `group` with the fewest guesses, if there are too many."""
    rows = GuessCount.objects.filter(minute=minute, group=group).exclude(what=_FORGOTTEN)
    surplus = rows.count() - KEPT_WHEN_FULL
    if surplus <= MAX_COUNTED - KEPT_WHEN_FULL:
        return
    with transaction.atomic():
        # skip_locked: another process may be counting one of them, or making room itself.
        least = rows.select_for_update(skip_locked=True).order_by("count", "bucket")[:surplus]
        counts = dict(least.values_list("bucket", "count"))
        rows.filter(bucket__in=counts).delete()
        if counts:
            _upsert(Counter({Bucket(group, _FORGOTTEN): max(counts.values())}), minute)


def _upsert(counts: Counter[Bucket], minute: datetime) -> Counter[Bucket]:
    """Add `counts` by one statement that both databases know and Django's ORM has no words for; return the totals.

    Sorted, so that two processes take their locks in one order.
    """
    table = connection.ops.quote_name(GuessCount._meta.db_table)
    places = ", ".join(["(%s, %s, %s, %s, %s)"] * len(counts))
    sql = (
        f'INSERT INTO {table} (bucket, minute, "group", what, count) VALUES {places} ON CONFLICT (bucket) '  # noqa: S608 (no value in it)
        f'DO UPDATE SET count = {table}.count + EXCLUDED.count RETURNING "group", what, count'
    )
    stamp, moment = f"{minute:%Y-%m-%dT%H:%M}", connection.ops.adapt_datetimefield_value(minute)
    values: list[Any] = []
    for bucket, number in sorted(counts.items()):
        values += [f"{stamp} {bucket.group} {bucket.what}", moment, *bucket, number]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return Counter({Bucket(group, what): total for group, what, total in cursor.fetchall()})
