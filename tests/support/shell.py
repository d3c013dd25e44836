"""Python in the setting of an installation: one process that runs snippets, since each start of Django takes a second."""

import contextlib
import json
import subprocess
import sys
from typing import Any

from tests.support.web import ROOT

_LOOP = """
import json, sys, traceback
import django
django.setup()
from django.db import close_old_connections
for line in sys.stdin:
    names = json.loads(line)
    close_old_connections()
    try:
        exec(names.pop("code"), names)
        answer = {"result": names.get("result")}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""


class DjangoShell:
    """Runs code with the settings that `environment` gives. `given` are the values it works with, `result` what it leaves."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            env=environment | {"DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, **given: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"code": code, "given": given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the shell has ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._process.communicate(timeout=20)
        self._process.kill()
        self._process.wait()
