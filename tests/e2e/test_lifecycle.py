"""Starting, stopping and dying of the processes that `make run` starts."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.processes import Server, wait_for
from tests.support.stack import ROOT, Stack, process_group

STOP_S = 10.0
NAMES_IN_DATABASE = (
    "from devices.models import Device; import json; print(json.dumps(list(Device.objects.values_list('name', flat=True))))"
)
GONE_S = 2.0


@pytest.fixture
def stack(tmp_path):
    with Stack(tmp_path, "web", "tasks") as running:
        yield running


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stop_ends_every_process_in_time_with_the_signals_code(stack, sig, code):
    pids = stack.pids("web") + stack.pids("tasks")
    began = time.monotonic()

    assert stack.stop(sig) == code

    assert time.monotonic() - began < STOP_S
    wait_until_gone(pids)
    assert "Traceback" not in stack.server.output()


def test_stop_in_the_middle_of_requests_answers_every_one_that_was_committed(stack):
    profile = stack.create_profile("busy")
    stop_after = 100
    answered: list[str] = []

    def provision(number: int) -> None:
        try:
            reply = stack.provision(profile, deviceName=f"busy-{number}")
        except (urllib.error.URLError, ConnectionError):
            return  # refused or cut: then there must be no device
        assert reply["status"] == "SUCCESS"
        answered.append(reply["deviceName"])

    with ThreadPoolExecutor(24) as pool:
        requests = [pool.submit(provision, number) for number in range(2_000)]
        wait_for(lambda: len(answered) >= stop_after, "the first answers")
        stack.stop()
        for request in requests:
            request.result()

    committed = json.loads(stack.manage("shell", "-v0", "-c", NAMES_IN_DATABASE))
    assert len(committed) < 2_000, "the stop came too late to show anything"
    assert sorted(committed) == sorted(answered)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("whole")) as running:
        yield running


@pytest.mark.parametrize("name", ["web", "mqtt_broker", "mqtt_bridge", "coap", "tasks"])
def test_process_that_is_killed_comes_back_by_itself(whole, name):
    dead = whole.kill(name)

    wait_for(lambda: len(set(whole.pids(name)) - set(dead)) >= len(dead), f"another {name}")
    # A heartbeat names its process's id, so that of the dead one is not taken for the new one's.
    wait_for(lambda: name == "web" or whole.beats(name) - set(dead), f"the heartbeat of another {name}")
    whole.wait_until_ready()
    wait_until_gone(dead)


def test_worker_that_is_killed_alone_is_replaced_and_nothing_is_left_after_the_stop(stack):
    main, *workers = stack.pids("web")
    leader = os.getpgid(main)
    os.kill(workers[0], signal.SIGKILL)

    wait_for(lambda: len(set(stack.pids("web")) - {workers[0]}) == 1 + len(workers), "another worker")
    stack.wait_until_ready()
    stack.stop()

    wait_for(lambda: not process_group(leader), "the web processes to be gone", GONE_S)


def test_main_web_process_that_is_killed_leaves_no_worker_after_the_stop(stack):
    main, *_ = stack.pids("web")
    leader = os.getpgid(main)
    os.kill(main, signal.SIGKILL)
    wait_for(lambda: stack.server.output().count("is restarted") == 1, "the restart")
    stack.wait_until_ready()

    stack.stop()

    wait_for(lambda: not process_group(leader), "the web processes to be gone", GONE_S)


@pytest.mark.parametrize("started", ["", "started (pid=", "status started"])
def test_stop_in_the_middle_of_the_start_leaves_nothing_behind(tmp_path, started):
    """Honcho by itself hangs when it is stopped before it knows the ids of all processes."""
    stack = Stack(tmp_path)
    stack.manage("first_run")
    server = Server([sys.executable, "deploy/start.py"], tmp_path / "output", env=stack.environment, cwd=ROOT)
    try:
        wait_for(lambda: started in server.output(), "a part of the start")
        assert server.stop(signal.SIGTERM, STOP_S) in (143, -signal.SIGTERM)
    finally:
        server.kill()
    wait_for(lambda: not running_with(stack.environment["FIRSTLIGHT_DATA"]), "all processes to be gone", GONE_S)


def wait_until_gone(pids: list[int]) -> None:
    wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "all processes to be gone", GONE_S)


def running_with(data_folder: str) -> list[str]:
    """Return the command lines of the processes that have this data folder in their environment."""
    found = subprocess.run(["ps", "axeww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if f"FIRSTLIGHT_DATA={data_folder}" in line]
