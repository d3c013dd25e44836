"""`manage.py import_devices`."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from devices.models import Device, DeviceCredentials
from imports.choices import ImportState
from imports.models import ImportJob
from tests.support.databases import installation
from tests.support.imports import GUIDE_SAMPLE, make_profile, write_list
from tests.support.web import ROOT, create_profile, manage

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> tuple[int, dict, str]:
    """Return exit code, the JSON object on the last line (empty without --json) and everything else that was printed."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("import_devices", *arguments, stdout=out, stderr=err)
        code = 0
    except SystemExit as ended:
        code = ended.code
    printed = out.getvalue()
    return code, json.loads(printed.splitlines()[-1]) if "--json" in arguments else {}, printed + err.getvalue()


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_text(GUIDE_SAMPLE)
    return str(path)


def test_sample_of_the_guide_gives_sums_errors_and_exit_code(sample):
    make_profile("testImport")

    code, result, _ = run(sample, "--profile", "testImport", "--column", "Data10=ACCESS_TOKEN", "--json")

    assert code == 1
    assert (result["created"], result["updated"], result["unchanged"], result["errors"]) == (8, 0, 0, 2)
    assert result["errorsList"][0] == "Line 10: Data10: The credentials belong to device 'Device 8'."
    job = ImportJob.objects.get()
    assert (job.state, job.created, job.errors, job.source, job.file_name) == (ImportState.DONE, 8, 2, "COMMAND", "sample.csv")
    assert job.devices.count() == 8


def test_second_run_with_update_changes_nothing_and_ends_with_0(sample):
    make_profile("testImport")
    options = (sample, "--profile", "testImport", "--column", "Data10=IGNORE", "--json")
    run(*options)

    code, result, _ = run(*options, "--update")

    assert (code, result["unchanged"], result["errors"]) == (0, 10, 0)


def test_dry_run_reports_each_row_and_writes_nothing(sample):
    make_profile("testImport")

    code, _, printed = run(sample, "--profile", "testImport", "--column", "Data10=ACCESS_TOKEN", "--dry-run")

    assert code == 1
    assert "Line 2: Creates 'Device 1' in profile 'testImport'." in printed
    assert "Line 10: Data10:" in printed
    assert "would be: 8 created, 0 updated, 0 unchanged, 2 errors" in printed
    assert "AbfdgrRetGF45" not in printed
    assert (Device.objects.count(), DeviceCredentials.objects.count(), ImportJob.objects.count()) == (0, 0, 0)


def test_standard_input_without_header_is_read_by_column_numbers(monkeypatch):
    make_profile()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"token-1|X1\ntoken-2|X2\n")))

    code, result, _ = run(
        "-",
        "--profile",
        "sensors",
        "--no-header",
        "--delimiter",
        "|",
        "--column",
        "1=ACCESS_TOKEN",
        "--column",
        "2=NAME",
        "--json",
    )

    assert (code, result["created"]) == (0, 2)
    assert DeviceCredentials.objects.get(device__name="X2").value == "token-2"


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (b"name\nX\n", ("--profile", "nobody"), "There is no profile 'nobody'"),
        (b"\xff\xd8\xff\xe0JFIF" + bytes(500), ("--profile", "sensors"), "JPEG"),
        (b"label\nX\n", ("--profile", "sensors"), "No column holds the name"),
        (b"name\nX\n", ("--profile", "sensors", "--column", "name"), "HEADER=TYPE"),
    ],
)
def test_what_cannot_be_imported_is_one_sentence(tmp_path, content, options, sentence):
    make_profile()
    path = tmp_path / "list.csv"
    path.write_bytes(content)

    with pytest.raises(CommandError, match=sentence):
        run(str(path), *options)
    assert not ImportJob.objects.exists()


def test_missing_file_is_one_sentence(tmp_path):
    make_profile()

    with pytest.raises(CommandError, match="cannot be read: No such file"):
        run(str(tmp_path / "missing.csv"), "--profile", "sensors")


def test_terminal_shows_a_progress_bar(sample):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    make_profile("testImport")
    err = Terminal()

    call_command(
        "import_devices", sample, "--profile", "testImport", "--column", "Data10=IGNORE", stdout=io.StringIO(), stderr=err
    )

    assert "[##############################] 100% 10 rows" in err.getvalue()


def test_two_imports_of_overlapping_lists_create_each_device_once(tmp_path):
    environment = installation(tmp_path)
    profile = create_profile(environment, "sensors")["name"]
    lines = write_list(tmp_path / "forth.csv", 20_000).read_text().splitlines(keepends=True)
    # Both want the same names and tokens, in opposite orders.
    (tmp_path / "back.csv").write_text("".join([lines[0], *reversed(lines[1:])]))
    command = [sys.executable, "manage.py", "import_devices", "--profile", profile, "--json"]

    running = [
        subprocess.Popen([*command, str(tmp_path / name)], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for name in ("forth.csv", "back.csv")
    ]
    results = [json.loads(process.communicate(timeout=120)[0].splitlines()[-1]) for process in running]

    assert sum(result["created"] for result in results) == 20_000
    assert sum(result["errors"] for result in results) == 20_000
    again = manage(environment, "import_devices", "--profile", profile, "--json", "--update", str(tmp_path / "forth.csv"))
    assert json.loads(again.splitlines()[-1])["unchanged"] == 20_000
