"""ENCRYPTION_KEYS changed in the documented order (docs/operations.md, *Rotating every secret*), with two processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet

from tests.support.web import ROOT, manage

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


class Process:
    """One process that works with `keys`."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.support.key_worker"]
        self._process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.keys = [OLD]

    def do(self, what, **fields):
        self._process.stdin.write(json.dumps({"do": what, "keys": self.keys, **fields}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def provision(self, profile, name):
        return self.do("provision", body=profile | {"deviceName": name})

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)


@pytest.fixture
def pair(tmp_path) -> Iterator[list[Process]]:
    environment = os.environ | {"FIRSTLIGHT_DATA": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / 'shared.sqlite3'}"}
    manage(environment, "migrate", "--verbosity", "0")
    processes = [Process(environment), Process(environment)]
    yield processes
    for process in processes:
        process.close()


def test_documented_order_serves_every_device_at_every_moment(pair):
    first, second = pair
    steps = [(first, [OLD, NEW]), (second, [OLD, NEW]), (first, [NEW, OLD]), (second, [NEW, OLD])]
    steps += [(first, None), (first, [NEW]), (second, [NEW])]
    profiles = [first.do("create", name="at first")]
    for number, (process, keys) in enumerate(steps):
        if keys is None:
            process.do("rotate")
        else:
            process.keys = keys
        profiles.append(process.do("create", name=f"after step {number}"))
        for index, profile in enumerate(profiles):
            for place, one in enumerate(pair):
                made = one.provision(profile, f"d-{number}-{index}-{place}")
                assert made["kind"] == "SUCCESS"
                assert {other.do("log in", token=made["accessToken"])["name"] for other in pair} == {made["deviceName"]}


def test_process_without_the_key_asks_to_come_again_and_never_fails_for_good(pair):
    behind, ahead = pair
    ahead.keys = [NEW, OLD]
    profile = ahead.do("create", name="made with the new key")
    token = ahead.provision(profile, "meter")["accessToken"]

    assert behind.provision(profile, "x")["kind"] == "UNAVAILABLE"
    # A token is known by its id, which needs no decryption.
    assert behind.do("log in", token=token)["name"] == "meter"
    behind.keys = [OLD, NEW]
    assert behind.provision(profile, "x")["kind"] == "SUCCESS"
    assert behind.do("log in", token=token)["name"] == "meter"
