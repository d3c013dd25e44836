"""An import whose worker is killed resumes where it stopped; and lists too long for memory."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.imports import write_list
from tests.support.postgres import Postgres
from tests.support.processes import wait_for
from tests.support.stack import ROOT, Stack

ROWS = 60_000
MAKE_TOKEN = """
from django.contrib.auth.models import Permission, User
user = User.objects.create_user("uploader")
user.user_permissions.set(Permission.objects.filter(content_type__app_label="devices"))
"""


@pytest.fixture(params=["sqlite", "postgres"])
def stack(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imports")
    if request.param == "sqlite":
        with Stack(folder, "web", "tasks") as started:
            yield started
        return
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    server = Postgres(folder / "postgres")
    server.start()
    with Stack(folder, "web", "tasks", DATABASE_URL=server.url("firstlight")) as started:
        yield started
    server.stop()


def token_of(stack: Stack) -> str:
    stack.manage("shell", "-v0", "-c", MAKE_TOKEN)
    made = stack.manage("create_api_token", "uploader", "--scope", "imports:write", "credentials:reveal", "--json")
    return json.loads(made.splitlines()[-1])["token"]


def upload(stack: Stack, token: str, path: Path, profile: str) -> str:
    """Return the URL of the job that takes in the list at `path`."""
    form = ["-F", f"file=@{path}", "-F", f"profile={profile}"]
    done = subprocess.run(
        ["curl", "-sS", "-H", f"Authorization: Bearer {token}", *form, f"{stack.url}/api/imports/"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)["url"]


def status(url: str, token: str) -> dict:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_import_goes_on_after_kill_9_of_its_worker_and_creates_nothing_twice(stack, tmp_path):
    profile = stack.create_profile("sensors", "CHECK_PRE_PROVISIONED_DEVICES")
    token = token_of(stack)
    url = upload(stack, token, write_list(tmp_path / "list.csv", ROWS), "sensors")
    wait_for(lambda: status(url, token)["rows"] > 0, "the first chunk", 120)

    stack.kill("tasks")
    before = status(url, token)
    assert before["state"] == "RUNNING"
    assert before["rows"] < ROWS
    wait_for(lambda: status(url, token)["state"] != "RUNNING", "the end of the import", 240)

    ended = status(url, token)
    assert {name: ended[name] for name in ("state", "created", "errors", "percent")} == {
        "state": "DONE", "created": ROWS, "errors": 0, "percent": 100,
    }  # fmt: skip
    again = stack.manage("import_devices", str(tmp_path / "list.csv"), "--profile", "sensors", "--update", "--json")
    assert json.loads(again.splitlines()[-1])["unchanged"] == ROWS
    assert stack.provision(profile, deviceName=f"DHT11-{ROWS - 1:06}")["status"] == "SUCCESS"


def write_wide_list(path: Path, size_mb: int) -> int:
    """Write a list of that size, all rows of one name but the first, and return its number of rows."""
    note = "n" * 2_000
    rows = size_mb * 1024 * 1024 // len(f"X,{note}\n")
    with path.open("w") as file:
        file.write("name,note\n")
        file.writelines(f"{'X' if number else 'first'},{note}\n" for number in range(rows))
    return rows


MEASURED = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "manage.py", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("size_mb", [30, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_memory_does_not_grow_with_the_file(tmp_path, size_mb):
    rows = write_wide_list(tmp_path / "wide.csv", size_mb)
    stack = Stack(tmp_path)
    stack.manage("migrate", "-v0")
    stack.create_profile("sensors")

    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "import_devices", f"{tmp_path}/wide.csv", "--profile", "sensors", "--dry-run", "--json"],
        env=stack.environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["created"], result["errors"]) == (2, rows - 2)
    assert int(done.stderr.splitlines()[-1]) < 200


@pytest.mark.parametrize("rows", [50_000, pytest.param(500_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_worker_needs_less_than_200_mb_for_a_long_list(tmp_path, rows):
    stack = Stack(tmp_path)
    stack.manage("migrate", "-v0")
    stack.create_profile("sensors")
    path = write_list(tmp_path / "long.csv", rows)

    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "import_devices", str(path), "--profile", "sensors", "--json"],
        env=stack.environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert json.loads(done.stdout.splitlines()[-1])["created"] == rows
    assert int(done.stderr.splitlines()[-1]) < 200
