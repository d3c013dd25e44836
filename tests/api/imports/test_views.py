"""The import API: ThingsBoard's bulk import, and uploads that a worker takes in."""

import csv
import io
import json

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from api.services import token_create
from devices.models import Device, DeviceCredentials
from imports import services
from imports.choices import ImportState
from imports.models import ImportJob
from tests.support.imports import GUIDE_SAMPLE, make_profile

pytestmark = pytest.mark.django_db(transaction=True)

GUIDE_COLUMNS = [
    {"type": "NAME"},
    {"type": "TYPE"},
    *({"type": "SERVER_ATTRIBUTE", "key": f"Data{number}"} for number in range(1, 10)),
    {"type": "ACCESS_TOKEN"},
]


def client_with(*rights: str) -> Client:
    """Return a client that presents the token of a user with these rights on devices."""
    user = User.objects.create_user("ada")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="devices", codename__in=rights))
    return Client(headers={"Authorization": f"Bearer {token_of(user)}"})


def token_of(user: User, *scopes: str) -> str:
    return token_create(owner=user, scopes=scopes or ["imports:write", "credentials:reveal", "read"])[1]


@pytest.fixture
def client():
    return client_with("add_device", "change_device", "delete_device", "reveal_devicecredentials")


@pytest.fixture
def _worker_at_hand(monkeypatch):
    """Jobs are run as soon as they are queued, in this process: how a worker does it is tested with real ones."""
    monkeypatch.setattr("api.imports.views.dispatch", run_or_undo)


def run_or_undo(job):
    (services.job_undo if job.state == ImportState.UNDOING else services.job_run)(job=job)


def bulk(client, text, columns, **mapping):
    body = {"file": text, "mapping": {"columns": columns, "delimiter": ",", "header": True, "update": False} | mapping}
    return client.post("/api/device/bulk_import", json.dumps(body), content_type="application/json")


def upload(client, content, **fields):
    return client.post("/api/imports/", {"file": SimpleUploadedFile("list.csv", content), **fields})


def downloaded(answer):
    return list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))


def test_bulk_import_answers_as_thingsboard_does(client):
    make_profile("testImport")

    answer = bulk(client, GUIDE_SAMPLE, GUIDE_COLUMNS)

    assert answer.status_code == 200
    assert answer.json() == {
        "created": 8,
        "updated": 0,
        "errors": 2,
        "errorsList": [f"Line {line}: Data10: The credentials belong to device 'Device 8'." for line in (10, 11)],
    }
    assert Device.objects.get(name="Device 8").import_job.created_by.username == "ada"


def test_bulk_import_updates_and_takes_a_file_without_header(client):
    profile = make_profile("testImport")
    columns = [{"type": "NAME"}, {"type": "LABEL"}]
    body = {"file": "X1;a\nX2;b", "profile": profile.name, "mapping": {"columns": columns, "delimiter": ";", "header": False}}
    client.post("/api/device/bulk_import", json.dumps(body), content_type="application/json")
    body["file"], body["mapping"]["update"] = "X1;a\nX2;c", True

    answer = client.post("/api/device/bulk_import", json.dumps(body), content_type="application/json")

    assert answer.json() == {"created": 0, "updated": 2, "errors": 0, "errorsList": []}
    assert Device.objects.get(name="X2").label == "c"


def test_token_may_come_as_thingsboards_clients_send_theirs(client):
    token = token_of(User.objects.get())

    for scheme in ("Bearer", "ApiKey"):
        answer = bulk(Client(headers={"X-Authorization": f"{scheme} {token}"}), "name\n", [{"type": "NAME"}])
        assert (answer.status_code, answer.json()["created"]) == (200, 0)


def test_token_without_the_scope_may_not_import_or_reveal(client):
    make_profile()
    user = User.objects.get()
    job = upload(client, b"name\nX\n", profile="sensors").json()
    reader = Client(headers={"Authorization": f"Bearer {token_of(user, 'read')}"})

    assert reader.get(job["url"]).status_code == 200
    assert upload(reader, b"name\nX\n").status_code == 403
    assert bulk(reader, "name\n", [{"type": "NAME"}]).json()["errorCode"] == 20
    assert [reader.post(f"{job['url']}{action}/").status_code for action in ("cancel", "undo")] == [403, 403]
    assert reader.get(f"{job['url']}credentials.csv/").status_code == 403
    assert reader.get(f"{job['url']}rejected.csv/").status_code == 200


@pytest.mark.parametrize(
    ("columns", "mapping", "sentence"),
    [
        ([{"type": "LABEL"}], {}, "mapping: columns: No column holds the name"),
        ([{"type": "NAME"}, {"type": "LWM2M_CLIENT_ENDPOINT"}], {}, "not a valid choice"),
        ([{"type": "NAME"}, {"type": "SHARED_ATTRIBUTE"}], {}, "needs a key"),
        ([{"type": "NAME"}], {"delimiter": ",,"}, "delimiter"),
        ("no", {}, "mapping: columns"),
    ],
)
def test_invalid_bulk_import_gets_the_reason(client, columns, mapping, sentence):
    answer = bulk(client, "name\nX\n", columns, **mapping)

    assert (answer.status_code, answer.json()["status"], answer.json()["errorCode"]) == (400, 400, 31)
    assert sentence in answer.json()["message"]
    assert not ImportJob.objects.exists()


def test_stray_characters_spoil_their_row_alone(client):
    make_profile("p")

    answer = bulk(client, "name,type\na\x00,p\nb\ud800,p\nc,p\n", [{"type": "NAME"}, {"type": "TYPE"}])

    assert (answer.json()["created"], answer.json()["errors"]) == (1, 2)


def test_list_too_large_for_one_request_is_sent_elsewhere(client, settings):
    settings.IMPORT_MAX_INLINE_BYTES = 10

    answer = bulk(client, "name\nX\n", [{"type": "NAME"}])

    assert answer.status_code == 413
    assert "/api/imports/" in answer.json()["message"]


def test_stranger_and_viewer_may_not_import():
    stranger, viewer = Client(), client_with("view_device")

    assert bulk(stranger, "name\nX\n", [{"type": "NAME"}]).status_code == 401
    assert upload(stranger, b"name\nX\n").status_code == 401
    assert bulk(viewer, "name\nX\n", [{"type": "NAME"}]).json()["errorCode"] == 20
    assert upload(viewer, b"name\nX\n").status_code == 403
    assert viewer.get("/api/imports/").status_code == 403


def test_who_may_only_add_devices_may_not_update_undo_or_see_secrets():
    make_profile()
    client = client_with("add_device")

    assert upload(client, b"name\nX\n", update="true").status_code == 403
    assert bulk(client, "name\nX\n", [{"type": "NAME"}], update=True).status_code == 403
    job = upload(client, b"name\nX\n", profile="sensors").json()
    assert client.post(f"{job['url']}undo/").status_code == 403
    assert client.get(f"{job['url']}credentials.csv/").status_code == 403


@pytest.mark.usefixtures("_worker_at_hand")
def test_upload_is_accepted_and_its_result_found_under_its_url(client):
    make_profile()

    answer = upload(client, b"name;token;x\nX1;;1\n;;2\n", profile="sensors", column=["x=TIMESERIES:volts"])

    assert answer.status_code == 202
    assert answer.headers["Location"] == answer.json()["url"]
    status = client.get(answer.json()["url"]).json()
    assert {name: status[name] for name in ("state", "created", "errors", "rows", "percent", "file_name", "created_by")} == {
        "state": "DONE", "created": 1, "errors": 1, "rows": 2, "percent": 100, "file_name": "list.csv", "created_by": "ada",
    }  # fmt: skip
    assert client.get("/api/imports/").json()["results"] == [status]
    assert Device.objects.get().telemetry.get().key == "volts"
    rejected = client.get(f"{status['url']}rejected.csv/")
    assert "list.csv" in rejected.headers["Content-Disposition"]
    assert downloaded(rejected)[0] == ["name;token;x;line;error"]
    assert DeviceCredentials.objects.get().value in str(downloaded(client.get(f"{status['url']}credentials.csv/")))


@pytest.mark.usefixtures("_worker_at_hand")
def test_upload_is_undone_once(client):
    make_profile()
    url = upload(client, b"name\nX1\n", profile="sensors").json()["url"]

    assert client.post(f"{url}undo/").status_code == 202
    assert not Device.objects.exists()
    assert client.post(f"{url}undo/").status_code == 400
    assert client.get(url).json()["state"] == "UNDONE"


def test_waiting_upload_can_be_cancelled(client):
    make_profile()
    url = upload(client, b"name\nX1\n", profile="sensors").json()["url"]

    assert client.post(f"{url}cancel/").json()["state"] == "CANCELLED"


@pytest.mark.usefixtures("_worker_at_hand")
def test_dry_run_and_columns_by_position(client):
    make_profile()
    columns = json.dumps([{"type": "LABEL"}, {"type": "NAME"}])

    status = upload(client, b"a,X1\nb,X2\n", profile="sensors", columns=columns, header="false", dry_run="true").json()

    assert client.get(status["url"]).json()["created"] == 2
    assert not Device.objects.exists()


@pytest.mark.parametrize(
    ("content", "fields", "sentence"),
    [
        (b"\xff\xd8\xff\xe0JFIF" + bytes(1000), {}, "JPEG"),
        (b"", {}, "empty"),
        (b"label\nX\n", {}, "No column holds the name"),
        (b"name\nX\n", {"profile": "nobody"}, "nobody"),
        (b"name\nX\n", {"column": "name"}, "HEADER=TYPE"),
        (b"name\nX\n", {"columns": "["}, "not JSON"),
        (b"name,a\nX,1\n", {"columns": '[{"type": "NAME"}]'}, "the file has 2"),
        (b"name\nX\n", {"encoding": "ebcdic"}, "ebcdic"),
        (b"x," * 99_999 + b"name\n", {}, "100,000 columns"),
        (b"x," * 99_999 + b"X\n", {"header": "false"}, "100,000 columns"),
    ],
)
def test_upload_that_cannot_be_read_is_refused_with_the_reason(client, content, fields, sentence):
    answer = upload(client, content, **fields)

    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert not ImportJob.objects.exists()


def test_schema_describes_both_doors(client):
    assert Client().get("/api/schema/").status_code in (401, 403)
    schema = client.get("/api/schema/").content.decode()

    assert "/api/device/bulk_import:" in schema
    assert "/api/imports/{id}/undo/:" in schema
    assert "MQTT_CLIENT_ID" in schema
