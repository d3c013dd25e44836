"""Pruning the event log."""

from datetime import datetime, timedelta
from itertools import takewhile
from types import ModuleType

from celery import shared_task
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Greatest
from django.utils import timezone

from events import postgres, sqlite
from events.models import Event, PruneMark, ReaderPosition

# Readers that keep their position in memory are at most this far behind.
KEPT_AT_LEAST = timedelta(hours=1)
# Rows deleted by one transaction: some 20 ms for which SQLite's one writer is taken.
CHUNK = 1_000


@shared_task
def prune_events() -> int:
    """Delete events that every reader is past, and in any case those older than EVENTS_KEPT_DAYS. Returns how many."""
    if connection.vendor == "postgresql":
        postgres.drop_foreign_events()
    positions = ReaderPosition.objects.values_list("position", flat=True)
    needed_from = min((needed for text in positions if (needed := _backend().needed_from(text)) is not None), default=None)
    now, deleted = timezone.now(), 0
    while chunk := _prune_chunk(now, needed_from):
        deleted += chunk
    return deleted


@transaction.atomic
def _prune_chunk(now: datetime, needed_from: int | None) -> int:
    def is_old(event: tuple[int, datetime, int]) -> bool:
        _, created_at, order = event
        unneeded = created_at < now - KEPT_AT_LEAST and (needed_from is None or order < needed_from)
        return unneeded or created_at < now - timedelta(days=settings.EVENTS_KEPT_DAYS)

    old = list(takewhile(is_old, _backend().oldest_events(CHUNK)))
    if not old:
        return 0
    PruneMark.objects.get_or_create(pk=1)
    PruneMark.objects.update(pruned=Greatest("pruned", old[-1][2]))
    return Event.objects.filter(pk__in=[event[0] for event in old]).delete()[0]


def _backend() -> ModuleType:
    return postgres if connection.vendor == "postgresql" else sqlite
