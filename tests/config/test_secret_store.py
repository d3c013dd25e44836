"""The secrets that an installation makes for itself."""

import json
import stat
import subprocess
import sys
from pathlib import Path

from config.secret_store import FILE_NAME, Secret, load_or_create

ROOT = Path(__file__).resolve().parents[2]


def test_processes_that_start_at_once_all_get_the_same_secrets(tmp_path):
    data = tmp_path / "data"
    code = (
        "import sys, json; from pathlib import Path; sys.stdin.read();"
        "from config.secret_store import load_or_create; print(json.dumps(load_or_create(Path(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, str(data)]
    # Each waits for the end of its input, so that all of them begin together.
    runs = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for run in runs:
        run.stdin.close()
        run.stdin = None
    results = [run.communicate(timeout=60) for run in runs]

    assert [run.returncode for run in runs] == [0] * 8, results
    assert {out for out, _ in results} == {json.dumps(load_or_create(data)) + "\n"}
    assert [path.name for path in data.iterdir()] == [FILE_NAME]


def test_secrets_are_readable_by_their_owner_only(tmp_path):
    load_or_create(tmp_path / "data")

    assert stat.S_IMODE((tmp_path / "data" / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_second_call_returns_what_the_first_one_made(tmp_path):
    assert load_or_create(tmp_path) == load_or_create(tmp_path)


def test_secret_hides_in_repr_and_is_a_text_otherwise():
    secret = Secret("abc")

    assert (repr([secret]), f"{secret}", secret == "abc") == ("['********']", "abc", True)
    assert repr(Secret("")) == "''"
