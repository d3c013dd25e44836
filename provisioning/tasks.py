"""Background work of provisioning."""

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from provisioning.models import ProvisionAttempt, RejectedRequest

# Rows deleted by one statement: some 50 ms for which SQLite's one writer is taken.
PRUNE_CHUNK = 1_000


@shared_task
def prune_attempts() -> int:
    """Delete attempts older than ATTEMPTS_KEPT_DAYS, in chunks that hold no lock for long. Returns how many.

    It may run any number of times, and several at once: who finds a chunk gone already goes on or is done.
    """
    before = timezone.now() - timedelta(days=settings.ATTEMPTS_KEPT_DAYS)
    attempts = _delete(ProvisionAttempt.objects.filter(created_at__lt=before).order_by("created_at"))
    return attempts + _delete(RejectedRequest.objects.filter(minute__lt=before).order_by("minute"))


def _delete(rows: QuerySet[Any]) -> int:
    """Delete `rows`, oldest chunk first, each in a transaction of its own. Returns how many."""
    deleted = 0
    # Nothing refers to these rows, so that Django deletes by one statement and fetches none of them.
    while chunk := rows.model._default_manager.filter(pk__in=rows.values("pk")[:PRUNE_CHUNK]).delete()[0]:
        deleted += chunk
    return deleted
