"""Import jobs: create from an uploaded file, configure, run, cancel, undo."""

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO

from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from django.utils import timezone

from core.text import sanitized
from devices.models import Device
from events.choices import Kind
from events.services import NewEvent, record
from imports import metrics, row_results, stored_files
from imports.choices import ImportSource, ImportState, Verdict
from imports.columns import BadMapping, Column, ColumnType, checked, column, guessed, mapped, numbered
from imports.csv.file_format import FileFormat, UnreadableFile, detect
from imports.csv.records import Records
from imports.models import ColumnMemory, ImportJob
from imports.pipeline import Chunk, ImportSpec, import_file
from profiles.models import DeviceProfile

log = logging.getLogger(__name__)

# A runner that has not committed a chunk for this long is considered dead, and another one continues.
STALLED = timedelta(seconds=30)
UNDO_CHUNK = 1_000
_ENDED = (ImportState.DONE, ImportState.CANCELLED, ImportState.FAILED)


class JobTaken(Exception):
    """The job is no longer ours: it was cancelled, or another process took over."""


def job_create(
    *, file_name: str, source: ImportSource, user: User | None = None, profile: DeviceProfile | None = None, **fields: Any
) -> ImportJob:
    """Return a new draft."""
    return ImportJob.objects.create(file_name=sanitized(file_name), source=source, created_by=user, profile=profile, **fields)


def job_store_file(
    *, job: ImportJob, blocks: Iterable[bytes], encoding: str = "", delimiter: str = "", header: bool = True
) -> None:
    """Keep the uploaded file of `job` where every process finds it, and detect the parts of its format that are not given.

    Raises UnreadableFile.
    """
    job.size_bytes = stored_files.store(job, blocks)
    form = detect(stored_files.opened(job), encoding=encoding, delimiter=delimiter, header=header)
    job_set_format(job=job, form=form)


def job_set_format(*, job: ImportJob, form: FileFormat) -> None:
    """Set the format of the file of `job` and read its headers again."""
    job.encoding, job.delimiter, job.header = form.encoding, form.delimiter, form.header
    headers = job.headers
    job.headers = [sanitized(header) for header in Records(stored_files.opened(job), form).headers]
    if job.headers != headers:
        job.columns = []
    job.save()


def job_columns(*, job: ImportJob, overrides: Mapping[str, Column], listed: list[Column] | None = None) -> list[Column]:
    """Return the columns of the stored file: those `listed`, else `overrides` by header, else guessed from the headers.

    What the lists of this profile held last time goes before what the headers tell. Raises BadMapping.
    """
    width = len(job.headers) if job.header else _width(job)
    if listed is not None:
        if len(listed) != width:
            raise BadMapping(f"{len(listed)} columns are listed; the file has {width}.")
        return checked(listed)
    if not job.header:
        return numbered(width, overrides)
    return mapped(job.headers, {**_remembered(job), **overrides})


def job_suggested_columns(*, job: ImportJob, width: int) -> list[Column]:
    """Return suggested columns for the operator: as set before, as in the last list, or from the headers."""
    if len(job.columns) == width:
        return job.column_list
    if not job.header:
        return [Column(ColumnType.NAME if index == 0 else ColumnType.IGNORE) for index in range(width)]
    remembered = _remembered(job)
    return [remembered.get(header.strip()) or guessed(header) for header in job.headers]


def _width(job: ImportJob) -> int:
    first = next(iter(Records(stored_files.opened(job), job.form)), None)
    if first and first.problem and not first.fields:
        raise UnreadableFile(first.problem)
    return len(first.fields) if first else 0


def _remembered(job: ImportJob) -> dict[str, Column]:
    memory = ColumnMemory.objects.filter(profile=job.profile).first() if job.profile else None
    titles = [header.strip() for header in job.headers]
    known = memory.columns if memory else {}
    return {title: column(entry["type"], entry.get("key", "")) for title, entry in known.items() if titles.count(title) == 1}


def job_discard(*, job: ImportJob) -> None:
    """Delete a job that never ran, with its file."""
    ImportJob.objects.filter(pk=job.pk, state=ImportState.DRAFT).delete()


def job_set_columns(*, job: ImportJob, columns: Sequence[Column], update: bool) -> None:
    """Set the columns of the file, and remember them for the next list of this profile."""
    job.columns = [one.as_json() for one in columns]
    job.update = update
    job.save(update_fields=["columns", "update"])
    if job.profile and job.headers:
        overrides = {header.strip(): one.as_json() for header, one in zip(job.headers, columns, strict=True) if header.strip()}
        memory, _ = ColumnMemory.objects.get_or_create(profile=job.profile)
        memory.columns |= overrides
        memory.save()


def job_queue(*, job: ImportJob, dry_run: bool, dispatch: Callable[[ImportJob], Any]) -> bool:
    """Queue `job` to be run by a worker from the start; `dispatch` sends the task after the commit.

    Returns False if it is queued, is running or has run.
    """
    with transaction.atomic():
        queued = ImportJob.objects.filter(Q(state=ImportState.DRAFT) | Q(state__in=_ENDED, dry_run=True), pk=job.pk).update(
            **_FRESH, state=ImportState.QUEUED, dry_run=dry_run, beat_at=timezone.now()
        )
        if queued:
            job.row_results.all().delete()
            job.refresh_from_db()
            transaction.on_commit(partial(dispatch, job))
    job.refresh_from_db()
    return queued == 1


_NOTHING_DONE = dict.fromkeys(("done_lines", "done_bytes", "created", "updated", "unchanged", "errors"), 0)
_FRESH: dict[str, Any] = _NOTHING_DONE | {"problem": "", "runner": "", "started_at": None, "finished_at": None}


def job_run(*, job: ImportJob, file: BinaryIO | None = None, on_commit: Callable[[Chunk], None] = lambda _: None) -> bool:
    """Run `job` to its end from the last committed chunk on. Returns False if it belongs to another process, or does now.

    `file` is passed if it is not stored. `on_commit` is called with each chunk after its commit.
    """
    runner = runner_name()
    if not _claim(job, runner):
        return False
    job.refresh_from_db()
    held = ImportJob.objects.filter(pk=job.pk, runner=runner, state=ImportState.RUNNING)

    def before_commit(chunk: Chunk) -> None:
        row_results.save(job, chunk)
        if not held.update(**_progress(chunk)):
            raise JobTaken

    def committed(chunk: Chunk) -> None:
        if not job.dry_run:
            metrics.count_rows(chunk)
        on_commit(chunk)

    spec = ImportSpec(job.form, job.column_list, job.profile, job.update, job.dry_run, job.pk)
    try:
        with metrics.RUNNING.track_inprogress():
            import_file(
                file or stored_files.opened(job),
                spec,
                before_commit=before_commit,
                on_commit=committed,
                after_line=job.done_lines,
            )
    except JobTaken:
        log.info("Import %s was cancelled or taken over", job.pk)
        job.refresh_from_db()
        return False
    except (OperationalError, InterfaceError):
        # Database unavailable: the state cannot be saved. When it is back, the job is found stalled and resumed.
        raise
    except Exception:
        log.exception("Import %s failed", job.pk)
        _end(
            held, job, ImportState.FAILED, "The import stopped because of an unexpected error. The log of the server has details."
        )
        raise
    _end(held, job, ImportState.DONE)
    return True


def runner_name() -> str:
    """Return a new name under which this process holds a job: host, process id and a random part."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(4)}"


def _claim(job: ImportJob, runner: str) -> bool:
    """Claim `job` if it is queued or its runner is dead. A dry run starts again, since it has committed nothing."""
    now = timezone.now()
    free = Q(state=ImportState.QUEUED) | Q(state=ImportState.RUNNING) & (Q(beat_at__lt=now - STALLED) | Q(runner=""))
    claimed = ImportJob.objects.filter(free, pk=job.pk).update(state=ImportState.RUNNING, runner=runner, beat_at=now)
    if not claimed:
        return False
    ours = ImportJob.objects.filter(pk=job.pk, runner=runner)
    ours.filter(started_at=None).update(started_at=now)
    if ours.filter(dry_run=True).update(**_NOTHING_DONE):
        job.row_results.all().delete()
    return True


def _progress(chunk: Chunk) -> dict[str, Any]:
    return {
        "beat_at": timezone.now(),
        "done_lines": chunk.end_line,
        "done_bytes": chunk.end_byte,
        "created": F("created") + chunk.count(Verdict.CREATED),
        "updated": F("updated") + chunk.count(Verdict.UPDATED),
        "unchanged": F("unchanged") + chunk.count(Verdict.UNCHANGED),
        "errors": F("errors") + chunk.count(Verdict.REFUSED),
    }


def _end(held: Any, job: ImportJob, state: ImportState, problem: str = "") -> None:
    ended = held.update(state=state, problem=problem, finished_at=timezone.now(), runner="")
    job.refresh_from_db()
    # The file of a dry run is usually imported next; tidy() deletes it if not.
    if ended and not job.dry_run:
        stored_files.drop(job)


def job_cancel(*, job: ImportJob) -> bool:
    """Stop `job` after the current chunk; imported rows stay. Returns False if it had ended already."""
    cancelled = ImportJob.objects.filter(pk=job.pk, state__in=(ImportState.QUEUED, ImportState.RUNNING)).update(
        state=ImportState.CANCELLED, finished_at=timezone.now(), runner=""
    )
    job.refresh_from_db()
    if cancelled and not job.dry_run:
        stored_files.drop(job)
    return cancelled == 1


def job_begin_undo(*, job: ImportJob, dispatch: Callable[[ImportJob], Any]) -> bool:
    """Queue the deletion of what `job` created. Returns False if the job has not ended or is undone already."""
    with transaction.atomic():
        begun = ImportJob.objects.filter(pk=job.pk, state__in=_ENDED, dry_run=False).update(
            state=ImportState.UNDOING, beat_at=timezone.now()
        )
        job.refresh_from_db()
        if begun:
            transaction.on_commit(partial(dispatch, job))
    return begun == 1


def job_undo(*, job: ImportJob) -> None:
    """Delete the devices that `job` created and that have not provisioned since; may be called again after a crash.

    Devices that it kept remain in `job.devices`.
    """
    while deleted := _undo_chunk(job):
        ImportJob.objects.filter(pk=job.pk).update(undone=F("undone") + deleted, beat_at=timezone.now())
    ImportJob.objects.filter(pk=job.pk, state=ImportState.UNDOING).update(state=ImportState.UNDONE)
    job.refresh_from_db()


@transaction.atomic
def _undo_chunk(job: ImportJob) -> int:
    # Locked, so that none of them provisions before it is deleted.
    waiting = Device.objects.select_for_update(of=("self",)).filter(import_job=job, provisioned_at=None).order_by("pk")
    profiles = dict(waiting.values_list("pk", "profile_id")[:UNDO_CHUNK])
    Device.objects.filter(pk__in=profiles).delete()
    record(NewEvent(Kind.DEVICE_DELETED, device_id, profile_id) for device_id, profile_id in profiles.items())
    return len(profiles)
