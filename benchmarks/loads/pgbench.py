"""The limit of this machine's database: the same rows, written by one statement a device."""

import re
import subprocess
from pathlib import Path

from benchmarks.loads.outcome import Outcome
from tests.support.postgres import BIN
from tests.support.processes import program

SCRIPT = Path(__file__).with_name("provision.sql")
CLIENTS = 16


def run(*, url: str, seconds: float, profile: str, key: str) -> Outcome:
    """Return what pgbench reached in `seconds` with prepared statements on 16 connections."""
    command = [
        program("pgbench", "postgresql", BIN),
        *("-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", f"{max(1, round(seconds))}", "-f", str(SCRIPT)),
        *("-D", f"profile={profile}", "-D", f"key={key}", url),
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = float(_number(r"tps = ([\d.]+)", text))
    latency = float(_number(r"latency average = ([\d.]+) ms", text))
    count = int(_number(r"transactions actually processed: (\d+)", text))
    return Outcome(seconds=count / rate, answered=count, refused=0, duplicated=0, p50_ms=latency, p99_ms=0.0)


def _number(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, f"pgbench printed no {pattern}"
    return found.group(1)
