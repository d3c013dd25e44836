"""The pages of imports, without a browser."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from devices.models import Device, DeviceCredentials
from imports import services
from imports.choices import ImportState
from imports.models import ImportJob
from tests.support.imports import GUIDE_SAMPLE, make_profile
from tests.support.operators import client_of, operator

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "admin:imports_importjob_add"
PAGE = "admin:imports_importjob_page"


@pytest.fixture
def client(monkeypatch):
    """An operator, with jobs run as soon as they are queued."""
    monkeypatch.setattr("console.imports.admin.dispatch", run_or_undo)
    return client_of("Operator")


def run_or_undo(job):
    (services.job_undo if job.state == ImportState.UNDOING else services.job_run)(job=job)


def upload(client, content, profile):
    return client.post(reverse(ADD), {"file": SimpleUploadedFile("list.csv", content), "profile": profile.pk})


def dry_run(client, content, profile, *, update=False, **columns):
    """Upload `content`, set it up and return its job after the dry run."""
    upload(client, content, profile)
    job = ImportJob.objects.latest("created_at")
    setup = {"delimiter": job.delimiter, "encoding": job.encoding, "header": "on"} | ({"update": "on"} if update else {})
    assert client.post(step("setup", job), setup).status_code == 302
    job.refresh_from_db()
    suggested = services.job_suggested_columns(job=job, width=len(job.headers))
    posted = {f"type-{index}": one.type.value for index, one in enumerate(suggested)}
    posted |= {f"key-{index}": one.key for index, one in enumerate(suggested)}
    assert client.post(step("columns", job), posted | columns).status_code == 302
    job.refresh_from_db()
    return job


def step(name, job):
    return reverse(f"admin:import_{name}", args=(job.pk,))


def text_of(answer):
    return answer.content.decode()


def test_sample_of_the_guide_goes_from_upload_to_result(client):
    profile = make_profile("testImport")

    job = dry_run(client, GUIDE_SAMPLE.encode(), profile, **{"type-11": "ACCESS_TOKEN", "key-11": ""})
    shown = text_of(client.get(reverse(PAGE, args=(job.pk,))))
    assert "Creates &#x27;Device 1&#x27;" in shown
    assert "Data10: The credentials belong to device &#x27;Device 8&#x27;." in shown
    assert not Device.objects.exists()
    client.post(step("import", job))

    job.refresh_from_db()
    assert (job.state, job.dry_run, job.created, job.errors) == (ImportState.DONE, False, 8, 2)
    assert LogEntry.objects.get().change_message == "Import started."
    assert "list.csv" in text_of(client.get(reverse("admin:imports_importjob_changelist")))


def test_first_rows_stand_under_each_column_and_headers_are_mapped(client):
    profile = make_profile()
    upload(client, b"name;limit\nX1;<b>7</b>\n", profile)
    job = ImportJob.objects.get()
    assert text_of(client.get(step("setup", job))).count("selected") == 2

    shown = text_of(client.get(step("columns", job)))

    assert "&lt;b&gt;7&lt;/b&gt;" in shown
    assert '<option value="NAME" selected>' in shown
    assert '<option value="SERVER_ATTRIBUTE" selected>' in shown
    assert 'value="limit"' in shown


def test_mapping_is_remembered_for_the_next_list_of_the_profile(client):
    profile = make_profile()
    dry_run(client, b"name,limit\nX1,7\n", profile, **{"type-1": "SHARED_ATTRIBUTE", "key-1": "max"})

    upload(client, b"limit,name,new\n7,X1,8\n", profile)

    shown = text_of(client.get(step("columns", ImportJob.objects.latest("created_at"))))
    assert '<option value="SHARED_ATTRIBUTE" selected>' in shown
    assert 'value="max"' in shown


def test_invalid_columns_are_reported_and_kept(client):
    profile = make_profile()
    upload(client, b"a,b\n1,2\n", profile)
    job = ImportJob.objects.get()

    shown = text_of(client.post(step("columns", job), {"type-0": "LABEL", "type-1": "TIMESERIES", "key-1": "volts"}))

    assert "No column holds the name" in shown
    assert '<option value="TIMESERIES" selected>' in shown
    job.refresh_from_db()
    assert job.state == ImportState.DRAFT


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0JFIF" + bytes(1000), b" \n"])
def test_file_that_is_no_list_is_refused_at_its_field(client, content):
    answer = upload(client, content, make_profile())

    assert "fl-error" in text_of(answer)
    assert not ImportJob.objects.exists()


def test_result_offers_downloads_and_undo(client):
    profile = make_profile()
    job = dry_run(client, b"name\nX1\nX2\nX1\n", profile)
    client.post(step("import", job))
    shown = text_of(client.get(reverse(PAGE, args=(job.pk,))))
    assert step("rejected", job) in shown
    assert step("credentials", job) in shown
    rejected = b"".join(client.get(step("rejected", job)).streaming_content).decode()
    assert rejected == "name,line,error\r\nX1,4,name: The name is already on line 2.\r\n"
    credentials = b"".join(client.get(step("credentials", job)).streaming_content).decode()
    downloaded = DeviceCredentials.objects.get(device__name="X2")
    assert downloaded.value in credentials
    assert downloaded.handed_out_at is not None
    Device.objects.filter(name="X1").update(provisioned_at=timezone.now())

    client.post(step("undo", job))

    shown = text_of(client.get(reverse(PAGE, args=(job.pk,))))
    assert "Kept: 1 device that has provisioned" in shown
    assert list(Device.objects.values_list("name", flat=True)) == ["X1"]
    assert {entry.change_message for entry in LogEntry.objects.all()} == {
        "Import started.",
        "Generated credentials downloaded.",
        "Import undone.",
    }


def test_progress_is_json():
    client = client_of("Operator")
    job = services.job_create(file_name="list.csv", source="BROWSER", state=ImportState.RUNNING, size_bytes=1000, done_bytes=250)
    ImportJob.objects.update(created=2_000, started_at=job.beat_at - timedelta(seconds=30))

    answer = client.get(step("progress", job)).json()

    assert answer == {"percent": 25, "text": "2,000 rows, 25 %, about 1 min 30 s left.", "ended": False}
    assert client.post(step("cancel", job)).status_code == 302
    assert client.get(step("progress", job)).json()["ended"]


def test_imported_job_is_not_set_up_again(client):
    job = dry_run(client, b"name\nX1\n", make_profile())
    client.post(step("import", job))

    assert client.get(step("columns", job)).status_code == 403
    assert client.post(step("import", job)).status_code == 403


def test_viewer_sees_no_import_and_starts_none():
    viewer = client_of("Viewer")
    job = services.job_create(file_name="list.csv", source="BROWSER")

    for url in (reverse(ADD), reverse("admin:imports_importjob_changelist"), reverse(PAGE, args=(job.pk,)), step("setup", job)):
        assert viewer.get(url).status_code == 403
    for name in ("import", "cancel", "undo"):
        assert viewer.post(step(name, job)).status_code == 403
    assert viewer.get(step("credentials", job)).status_code == 403
    assert "Imports" not in text_of(viewer.get(reverse("admin:index")))


def test_list_asks_the_database_a_fixed_number_of_times(django_assert_max_num_queries):
    client = client_of("Operator")
    profile = make_profile()
    for number in range(60):
        services.job_create(file_name=f"{number}.csv", source="BROWSER", profile=profile)

    with django_assert_max_num_queries(15):
        assert client.get(reverse("admin:imports_importjob_changelist")).status_code == 200


def test_draft_shows_its_values_to_its_uploader_and_to_readers_of_secrets(client):
    profile = make_profile()
    upload(client, b"name,token\nX1,s3cret-token-1\n", profile)
    job = ImportJob.objects.get()
    user = operator("Viewer")
    user.user_permissions.set(Permission.objects.filter(codename="add_device", content_type__app_label="devices"))
    other = Client()
    other.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    assert "s3cret-token-1" in text_of(client.get(step("columns", job)))
    assert "s3cret-token-1" in text_of(client_of("Administrator").get(step("columns", job)))
    for name in ("setup", "columns"):
        assert other.get(step(name, job)).status_code == 403
    assert other.get(reverse("admin:imports_importjob_changelist")).status_code == 200


@pytest.mark.parametrize(("name", "marked"), [("DHT11-1", False), ("DHT1\u0456-1", True)])
def test_name_that_misleads_the_eye_is_marked_before_it_is_imported(client, name, marked):
    job = dry_run(client, f"NAME,TOKEN\n{name},token-of-an-import".encode(), make_profile())

    text = client.get(reverse(PAGE, args=(job.pk,))).content.decode()

    assert f"Creates &#x27;{name}&#x27;" in text
    assert ("misleading name" in text) == marked
