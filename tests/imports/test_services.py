"""Import jobs: progress, cancelling, taking up after a crash, results, undo."""

import csv
import io
import os
import signal
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY

from devices.credentials import AccessToken
from devices.models import Device
from devices.services import device_create
from imports import pipeline, recovery, results, services, stored_files, tasks
from imports.choices import ImportSource, ImportState, Verdict
from imports.columns import Column, ColumnType, guessed, mapped
from imports.models import ColumnMemory, ImportFilePart, ImportJob, ImportRow
from tests.support.imports import GUIDE_SAMPLE, make_profile

pytestmark = pytest.mark.django_db(transaction=True)


def make_job(text: str, *, update: bool = False, profile=None, **overrides: Column) -> ImportJob:
    """Return a job whose file is stored and whose columns are set, waiting for a worker."""
    job = services.job_create(file_name="list.csv", source=ImportSource.HTTP, profile=profile or make_profile())
    services.job_store_file(job=job, blocks=[text.encode()])
    services.job_set_columns(job=job, columns=mapped(job.headers, overrides), update=update)
    assert services.job_queue(job=job, dry_run=False, dispatch=lambda _: None)
    return job


def rows_of(lines) -> list[list[str]]:
    return list(csv.reader(io.StringIO("".join(lines))))


def test_job_runs_to_its_end_and_its_file_is_forgotten():
    job = make_job(GUIDE_SAMPLE, profile=make_profile("testImport"), Data10=Column(ColumnType.ACCESS_TOKEN))

    tasks.run_import(str(job.pk))

    job.refresh_from_db()
    assert (job.state, job.created, job.errors, job.rows, job.percent) == (ImportState.DONE, 8, 2, 10, 100)
    assert job.done_bytes == job.size_bytes == len(GUIDE_SAMPLE)
    assert not ImportFilePart.objects.exists()


def test_file_is_kept_encrypted_and_read_back_part_by_part(monkeypatch):
    monkeypatch.setattr(stored_files, "PART_BYTES", 7)
    job = services.job_create(file_name="list.csv", source=ImportSource.HTTP)
    content = b"name,token\nX1,secret-token-1\nX2,secret-token-2\n"

    stored_files.store(job, [content[:10], content[10:]])

    assert stored_files.opened(job).read() == content
    file = stored_files.opened(job)
    file.seek(12)
    assert (file.read(9), file.tell()) == (content[12:21], 21)
    assert job.parts.count() == 7
    with connection.cursor() as cursor:
        cursor.execute("SELECT content FROM imports_importfilepart")
        assert all(b"token" not in bytes(stored) for (stored,) in cursor.fetchall())


def test_progress_is_committed_with_each_chunk_and_cancelling_keeps_what_is_in(monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 2)
    job = make_job("name\na\nb\nc\nd\ne\n")
    seen = []

    def on_commit(chunk):
        now = ImportJob.objects.get(pk=job.pk)
        seen.append((now.state, now.rows, now.done_lines))
        services.job_cancel(job=now)

    assert not services.job_run(job=job, on_commit=on_commit)

    assert seen == [(ImportState.RUNNING, 2, 3)]
    assert (job.state, job.created, Device.objects.count()) == (ImportState.CANCELLED, 2, 2)
    assert not ImportFilePart.objects.exists()


def test_job_whose_runner_died_goes_on_after_the_last_committed_chunk(monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 2)
    job = make_job("name\na\nb\nc\nd\na\n")

    class Died(BaseException):
        pass

    def die(chunk):
        raise Died

    with pytest.raises(Died):
        services.job_run(job=job, on_commit=die)
    assert not services.job_run(job=job), "its runner may be alive still"
    ImportJob.objects.update(beat_at=timezone.now() - 2 * services.STALLED)
    monkeypatch.setattr(tasks, "dispatch", lambda found: services.job_run(job=found))
    tasks.resume_imports()

    job.refresh_from_db()
    assert (job.state, job.created, job.errors) == (ImportState.DONE, 4, 1)
    assert Device.objects.count() == 4
    assert job.row_results.get().sentence == "The name is already on line 2."


def test_runner_that_lost_its_job_writes_nothing_more(monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 2)
    job = make_job("name\na\nb\nc\nd\n")

    def someone_takes_over(chunk):
        ImportJob.objects.update(runner="elsewhere:1:x")

    assert not services.job_run(job=job, on_commit=someone_takes_over)

    assert Device.objects.count() == 2
    assert ImportJob.objects.get().state == ImportState.RUNNING
    assert ImportFilePart.objects.exists()


def test_dead_process_of_this_machine_is_noticed_at_once():
    job = make_job("name\na\n")
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    here = services.runner_name().split(":")[0]
    ImportJob.objects.update(state=ImportState.RUNNING, runner=f"{here}:{pid}:x", beat_at=timezone.now())
    assert recovery.stalled_jobs(timezone.now()) == []

    recovery.release_dead_runners()

    assert recovery.stalled_jobs(timezone.now()) == [job]
    assert recovery.stalled_jobs(timezone.now()) == [], "a busy worker is warned once"


def test_job_of_a_living_process_is_left_alone():
    make_job("name\na\n")
    ImportJob.objects.update(state=ImportState.RUNNING, runner=services.runner_name(), beat_at=timezone.now())

    recovery.release_dead_runners()

    assert recovery.stalled_jobs(timezone.now()) == []


def test_command_that_was_killed_leaves_a_job_that_says_so():
    job = services.job_create(file_name="list.csv", source=ImportSource.COMMAND, state=ImportState.RUNNING)
    ImportJob.objects.update(beat_at=timezone.now() - 2 * services.STALLED)

    assert recovery.stalled_jobs(timezone.now()) == []

    job.refresh_from_db()
    assert job.state == ImportState.FAILED
    assert "has ended" in job.problem


def test_dry_run_lists_rows_and_can_then_be_imported():
    profile = make_profile()
    device_create(name="X1", profile=profile, label="before")
    job = services.job_create(file_name="list.csv", source=ImportSource.BROWSER, profile=profile)
    services.job_store_file(job=job, blocks=[b"name,label\nX1,after\nX2,new\n,x\n"])
    services.job_set_columns(job=job, columns=mapped(job.headers, {}), update=True)
    services.job_queue(job=job, dry_run=True, dispatch=lambda _: None)
    services.job_run(job=job)

    shown = {row.line: (row.verdict, row.text) for row in ImportRow.objects.all()}
    assert shown == {
        2: (Verdict.UPDATED, "Changes 'X1': label from 'before' to 'after'."),
        3: (Verdict.CREATED, "Creates 'X2' in profile 'sensors'."),
        4: (Verdict.REFUSED, "name: The row has no name."),
    }
    assert (job.state, job.created, job.updated, job.errors, Device.objects.count()) == (ImportState.DONE, 1, 1, 1, 1)
    assert services.job_queue(job=job, dry_run=False, dispatch=lambda _: None)
    assert services.job_run(job=job)
    assert (job.created, job.updated, job.errors, Device.objects.count()) == (1, 1, 1, 2)
    assert not services.job_queue(job=job, dry_run=False, dispatch=lambda _: None), "it is done"


def test_refused_rows_can_be_corrected_and_imported_again():
    profile = make_profile()
    job = make_job("name;token;note\nX1;t1;=1+1\n;t2;-7\nX3;t1;'=x\nX4;t4\n", profile=profile)
    services.job_run(job=job)

    text = "".join(results.refused_rows(job))

    assert text.splitlines() == [
        "name;token;note;line;error",
        ";t2;-7;3;name: The row has no name.",
        "X3;t1;''=x;4;token: The credentials belong to device 'X1'.",
        "X4;t4;;5;The row has too few fields: 2 instead of 3.",
    ]
    again = make_job(text.replace(";t2", "X2;t2", 1).replace("X3;t1", "X3;t3"), profile=profile)
    services.job_run(job=again)
    assert (again.created, again.errors) == (3, 0)
    assert Device.objects.get(name="X3").attributes.get().value == "'=x"


def test_refused_rows_of_refused_rows_have_the_two_columns_once():
    job = make_job("name,line,error\n,3,old\n")
    services.job_run(job=job)

    assert rows_of(results.refused_rows(job)) == [["name", "line", "error"], ["", "2", "name: The row has no name."]]


def test_fields_of_refused_rows_are_encrypted():
    job = make_job("name,token\n,secret-token\n")
    services.job_run(job=job)

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM imports_importrow")
        assert "secret-token" not in str(cursor.fetchall())


def test_generated_credentials_are_listed_and_given_ones_are_not():
    profile = make_profile()
    job = make_job("name,token\nX1,t1\nX2,\n=X3,\nX4,\n", profile=profile)
    services.job_run(job=job)
    changed = Device.objects.get(name="X4").credentials
    changed.set(AccessToken("its-own-token"))
    changed.save()

    rows = rows_of(results.generated_credentials(job))

    assert rows == [
        ["name", "token"],
        ["'=X3", Device.objects.get(name="=X3").credentials.value],
        ["X2", Device.objects.get(name="X2").credentials.value],
    ]


def test_undo_deletes_what_has_not_provisioned_and_keeps_the_rest(monkeypatch):
    monkeypatch.setattr(services, "UNDO_CHUNK", 2)
    profile = make_profile()
    device_create(name="before", profile=profile)
    job = make_job("name,fw\na,1\nb,1\nc,1\nd,1\nbefore,2\n", profile=profile, update=True)
    services.job_run(job=job)
    Device.objects.filter(name="c").update(provisioned_at=timezone.now())

    assert services.job_begin_undo(job=job, dispatch=lambda found: tasks.undo_import(str(found.pk)))

    job.refresh_from_db()
    assert (job.state, job.undone) == (ImportState.UNDONE, 3)
    assert set(Device.objects.values_list("name", flat=True)) == {"before", "c"}
    assert [device.name for device in job.devices.all()] == ["c"]
    assert not services.job_begin_undo(job=job, dispatch=lambda _: None)


def test_running_import_is_not_undone():
    job = make_job("name\na\n")

    assert not services.job_begin_undo(job=job, dispatch=lambda _: None)


def test_mapping_is_remembered_by_profile_and_header():
    profile = make_profile()
    make_job("name,Data1\nX,1\n", profile=profile, Data1=Column(ColumnType.SHARED_ATTRIBUTE, "one"))
    make_job("name,Data2\nX,1\n", profile=profile)

    assert ColumnMemory.objects.get().columns == {
        "name": {"type": "NAME"},
        "Data1": {"type": "SHARED_ATTRIBUTE", "key": "one"},
        "Data2": guessed("Data2").as_json(),
    }


def test_expired_data_is_deleted():
    profile = make_profile()
    draft = services.job_create(file_name="draft.csv", source=ImportSource.BROWSER)
    refused = make_job("name\n\nX\nX\n", profile=profile)
    services.job_run(job=refused)
    dry = make_job("name\nY\n", profile=profile)
    ImportJob.objects.filter(pk=dry.pk).update(state=ImportState.DONE, dry_run=True, finished_at=timezone.now())
    now = timezone.now()

    recovery.tidy(now)
    assert (ImportJob.objects.count(), ImportRow.objects.count(), ImportFilePart.objects.count()) == (3, 1, 1)
    recovery.tidy(now + timedelta(days=2))
    assert not ImportJob.objects.filter(pk=draft.pk).exists()
    assert (ImportRow.objects.count(), ImportFilePart.objects.count()) == (1, 0)
    recovery.tidy(now + timedelta(days=100))
    assert not ImportRow.objects.exists()


def test_rows_are_counted_for_prometheus_once_they_are_in():
    def rows(result):
        return REGISTRY.get_sample_value("firstlight_import_rows_total", {"result": result}) or 0

    before = {result: rows(result) for result in ("CREATED", "REFUSED")}
    job = make_job(GUIDE_SAMPLE, profile=make_profile("testImport"), Data10=Column(ColumnType.ACCESS_TOKEN))
    tasks.run_import(str(job.pk))

    assert {result: rows(result) - count for result, count in before.items()} == {"CREATED": 8, "REFUSED": 2}
    assert REGISTRY.get_sample_value("firstlight_imports_running") == 0
