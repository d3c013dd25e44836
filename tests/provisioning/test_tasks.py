"""Old attempts are deleted in the background."""

from datetime import timedelta

import pytest
from django.utils import timezone

from provisioning import tasks
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.tasks import prune_attempts

pytestmark = pytest.mark.django_db


def test_attempts_beyond_the_days_kept_are_deleted_in_chunks(settings, monkeypatch):
    settings.ATTEMPTS_KEPT_DAYS = 30
    monkeypatch.setattr(tasks, "PRUNE_CHUNK", 2)
    for days in (0, 29, 31, 31, 32, 90, 400):
        at = timezone.now() - timedelta(days=days)
        ProvisionAttempt.objects.create(created_at=at, transport="HTTP", outcome="FAILURE", reason="NAME_TAKEN")
        RejectedRequest.objects.create(bucket=f"{days} {at}", minute=at, transport="HTTP", reason="KEY_UNKNOWN")

    assert prune_attempts() == 10

    oldest = timezone.now() - timedelta(days=30)
    assert ProvisionAttempt.objects.count() == ProvisionAttempt.objects.filter(created_at__gt=oldest).count() == 2
    assert RejectedRequest.objects.count() == RejectedRequest.objects.filter(minute__gt=oldest).count() == 2
    assert prune_attempts() == 0
