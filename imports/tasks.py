"""Background work of devices: imports."""

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
    """Run an import from where it stands. A message that comes twice, or for a job that somebody runs, does nothing."""
    if job := ImportJob.objects.filter(pk=job_id).first():
        services.job_run(job=job)


@shared_task
def undo_import(job_id: str) -> None:
    """Delete what an import created and what has not provisioned since."""
    if job := ImportJob.objects.filter(pk=job_id, state=ImportState.UNDOING).first():
        services.job_undo(job=job)


@shared_task
def resume_imports() -> None:
    """Take up the imports that nobody works on any more. Independent of the broker: not every one redelivers."""
    recovery.release_dead_runners()
    for job in recovery.stalled_jobs(timezone.now()):
        log.warning("Import %s is taken up again", job.pk)
        dispatch(job)


@shared_task
def tidy_imports() -> None:
    """Delete what imports left lying."""
    recovery.tidy(timezone.now())


def dispatch(job: ImportJob) -> None:
    """Tell a worker of `job`. While the broker is away nobody is told, and resume_imports finds the job waiting."""
    task = undo_import if job.state == ImportState.UNDOING else run_import
    try:
        task.delay(str(job.pk))
    except BrokerAway:
        log.warning("The task broker is away; import %s waits", job.pk)


@worker_ready.connect
def resume_at_start(**_: Any) -> None:
    """Do not wait for the first beat: the worker that ran an import may have died a second ago."""
    resume_imports.delay()
