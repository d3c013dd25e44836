"""Resumes jobs whose runner died, and deletes what is no longer needed."""

import os
import socket
from datetime import datetime, timedelta

from django.db.models import F, Q

from imports import stored_files
from imports.choices import ImportState
from imports.models import ImportJob, ImportRow
from imports.services import STALLED

# Drafts that were never started, and the files of dry runs that were never imported.
DRAFTS_KEPT = timedelta(days=1)
FINDINGS_KEPT = timedelta(days=90)
_UNFINISHED = (ImportState.QUEUED, ImportState.RUNNING, ImportState.UNDOING)


def stalled_jobs(now: datetime) -> list[ImportJob]:
    """Return the jobs that a worker should resume: their runner died, or their message was lost.

    None of them is returned again within STALLED, so that a busy worker does not get duplicates. A job whose file was
    not stored (that of a command) cannot be resumed and is ended here.
    """
    found = []
    for job in ImportJob.objects.filter(state__in=_UNFINISHED, beat_at__lt=now - STALLED):
        same = ImportJob.objects.filter(pk=job.pk, state=job.state, beat_at=job.beat_at)
        if job.state != ImportState.UNDOING and not stored_files.is_stored(job):
            ended = "The process that ran the import has ended. Rows imported so far stay; run it again with update on."
            same.update(state=ImportState.FAILED, problem=ended, finished_at=now, runner="")
        elif same.update(beat_at=now, runner=""):
            found.append(job)
    return found


def release_dead_runners() -> None:
    """Mark jobs whose runner was a process of this machine that no longer exists as stalled, without waiting."""
    here = socket.gethostname()[:100]
    for job in ImportJob.objects.filter(state=ImportState.RUNNING).exclude(runner=""):
        host, pid, _ = job.runner.rsplit(":", 2)
        if host == here and not _is_alive(int(pid)):
            held = ImportJob.objects.filter(pk=job.pk, runner=job.runner, state=ImportState.RUNNING)
            held.update(runner="", beat_at=F("beat_at") - 2 * STALLED)


def tidy(now: datetime) -> None:
    """Delete drafts that were never started, files that no job needs, and old row results with their secrets."""
    ImportJob.objects.filter(state=ImportState.DRAFT, created_at__lt=now - DRAFTS_KEPT).delete()
    for job in ImportJob.objects.filter(~Q(state__in=_UNFINISHED), finished_at__lt=now - DRAFTS_KEPT, parts__number=0):
        stored_files.drop(job)
    ImportRow.objects.filter(job__created_at__lt=now - FINDINGS_KEPT).delete()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
