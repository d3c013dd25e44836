"""Celery tasks of imports."""

import logging
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerAway

from imports import recovery, services
from imports.choices import ImportState
from imports.models import ImportJob

log = logging.getLogger(__name__)


@shared_task
def run_import(job_id: str) -> None:
    """Run an import from its last commit. Does nothing if another process runs the job already."""
    if job := ImportJob.objects.filter(pk=job_id).first():
        services.job_run(job=job)


@shared_task
def undo_import(job_id: str) -> None:
    """Delete devices that an import created and that have not provisioned since."""
    if job := ImportJob.objects.filter(pk=job_id, state=ImportState.UNDOING).first():
        services.job_undo(job=job)


@shared_task
def resume_imports() -> None:
    """Resume imports whose runner died. Celery's broker may not deliver their messages again."""
    recovery.release_dead_runners()
    for job in recovery.stalled_jobs(timezone.now()):
        log.warning("Import %s is resumed", job.pk)
        dispatch(job)


@shared_task
def tidy_imports() -> None:
    """Delete what old imports left behind."""
    recovery.tidy(timezone.now())


def dispatch(job: ImportJob) -> None:
    """Send `job` to a worker. If Celery's broker is unavailable, resume_imports finds the job later."""
    task = undo_import if job.state == ImportState.UNDOING else run_import
    try:
        task.delay(str(job.pk))
    except BrokerAway:
        log.warning("The task broker is unavailable; import %s waits", job.pk)


@worker_ready.connect
def resume_at_start(**_: Any) -> None:
    """Resume imports at start: the worker that ran one may have died a second ago."""
    resume_imports.delay()
