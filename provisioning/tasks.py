"""Background work of provisioning."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from provisioning.models import ProvisionAttempt, UnattributedAttempts

PRUNE_CHUNK = 5_000


@shared_task
def prune_attempts() -> int:
    """Delete attempts older than ATTEMPTS_KEPT_DAYS, in chunks that hold no lock for long. Returns how many."""
    before = timezone.now() - timedelta(days=settings.ATTEMPTS_KEPT_DAYS)
    deleted = 0
    while chunk := list(
        ProvisionAttempt.objects.filter(created_at__lt=before).order_by().values_list("pk", flat=True)[:PRUNE_CHUNK]
    ):
        deleted += ProvisionAttempt.objects.filter(pk__in=chunk).delete()[0]
    deleted += UnattributedAttempts.objects.filter(minute__lt=before).delete()[0]
    return deleted
