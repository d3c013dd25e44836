"""HTTP under wrk."""

import json
import os
import subprocess
from pathlib import Path

from benchmarks.loads.outcome import Outcome
from tests.support.processes import program

SCRIPT = Path(__file__).with_name("wrk.lua")
MAX_THREADS = 2


def run(*, port: int, connections: int, seconds: float, names: str, key: str, secret: str, numbered: bool = False) -> Outcome:
    """Return what wrk saw in `seconds`, with `connections` open. Devices are called `names`-…; `numbered` counts them from 0.

    wrk does not read bodies here: whether a reply was a success is seen from the rows afterwards (see checks.py).
    """
    threads = min(MAX_THREADS, connections)
    environment = os.environ | {"NAMES": names, "KEY": key, "SECRET": secret, "THREADS": str(threads)}
    if numbered:
        environment["NUMBERED"] = "1"
    command = [
        program("wrk", "wrk"),
        *(f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(SCRIPT)),
        f"http://127.0.0.1:{port}",
    ]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seen = json.loads(done.stderr.strip().splitlines()[-1])
    bad = seen["bad_status"] + seen["errors"]
    return Outcome(
        seconds=seen["seconds"],
        answered=seen["requests"] - seen["bad_status"],
        refused=bad,
        duplicated=0,
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
    )
