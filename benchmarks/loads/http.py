"""HTTP under wrk."""

import json
import os
import subprocess
from pathlib import Path

from benchmarks.loads.outcome import Outcome
from tests.support.processes import program

FOLDER = Path(__file__).parent
MAX_THREADS = 2


def run(*, port: int, connections: int, seconds: float, names: str, key: str, secret: str, numbered: bool = False) -> Outcome:
    """Return what wrk saw in `seconds`, with `connections` open. Devices are called `names`-…; `numbered` counts them from 0.

    wrk does not read bodies here: whether a reply was a success is seen from the rows afterwards (see checks.py).
    """
    values = {"NAMES": names, "KEY": key, "SECRET": secret} | ({"NUMBERED": "1"} if numbered else {})
    return wrk("wrk.lua", values, port=port, connections=connections, seconds=seconds)


def admissions(*, port: int, connections: int, seconds: float, broker: str, secret: str, devices: int) -> Outcome:
    """Return what wrk saw while a broker of the generic kind asks about `devices` devices. A denial counts as refused."""
    values = {"BROKER": broker, "SECRET": secret, "DEVICES": str(devices)}
    return wrk("admit.lua", values, port=port, connections=connections, seconds=seconds)


def wrk(script: str, values: dict[str, str], *, port: int, connections: int, seconds: float) -> Outcome:
    """Return what wrk saw with `script` of this folder, which reads `values` from its environment."""
    threads = min(MAX_THREADS, connections)
    environment = os.environ | values | {"THREADS": str(threads)}
    command = [
        program("wrk", "wrk"),
        *(f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(FOLDER / script)),
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
