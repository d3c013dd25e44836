"""/metrics: the numbers of all workers, to those who may see them."""

import os
import socket
import subprocess
import sys

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from provisioning import metrics
from tests.support.processes import Server, free_port, listens, wait_for
from tests.support.web import ROOT, Web, create_profile, manage

TOKEN = "a-token-of-thirty-characters-x"


def samples(text):
    """Return the values in Prometheus' text form, by name and sorted labels."""
    families = text_string_to_metric_families(text)
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


def total(found, name, **labels):
    """Return the sum of the samples called `name` that have `labels`."""
    return sum(value for (one, *has), value in found.items() if one == name and labels.items() <= dict(has).items())


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    started = Web(tmp_path_factory.mktemp("metrics"), workers=2, METRICS_TOKEN=TOKEN)
    yield started
    started.server.stop()


def scrape(web):
    answer = web.request("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 200
    return samples(answer.body.decode())


def test_attempts_replies_and_batches_of_both_workers_are_counted(web):
    profile = create_profile(web.environment, "counted sensors")
    presented = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}
    before = scrape(web)
    for number in range(20):
        assert web.provision(**presented, deviceName=f"c{number}").status == 200
    web.provision(**presented, deviceName="c0")
    web.provision(provisionDeviceKey="no-such-key-anywhere", provisionDeviceSecret="x" * 20)
    web.request("/api/v1/provision", b"not JSON")

    # Every worker reports both: repeat until each must have served one request.
    for _ in range(10):
        after = scrape(web)

        def grown(name, after=after, **labels):
            return total(after, name, **labels) - total(before, name, **labels)

        mine = {"profile": "counted sensors", "transport": "HTTP"}
        assert grown("firstlight_attempts_total", outcome="SUCCESS", reason="CREATED", **mine) == 20
        assert grown("firstlight_attempts_total", outcome="FAILURE", reason="NAME_TAKEN", **mine) == 1
        assert grown("firstlight_attempts_total", reason="KEY_UNKNOWN", profile="") == 1
        assert grown("firstlight_unreadable_requests_total", transport="HTTP") == 1
        assert grown("firstlight_reply_seconds_count", transport="HTTP", reply="SUCCESS") == 20
        assert grown("firstlight_reply_seconds_count", transport="HTTP", reply="REFUSED") == 2
        assert grown("firstlight_reply_seconds_count", transport="HTTP", reply="MALFORMED") == 1
        assert grown("firstlight_batch_size_sum") == 22
    # A request counts as waiting until its batch is through, a moment longer than its sender waits.
    wait_for(lambda: total(scrape(web), "firstlight_waiting_requests") == 0, "an empty queue")


def test_metrics_show_nothing_that_a_device_sent(web):
    profile = create_profile(web.environment, "discreet sensors")
    web.provision(
        provisionDeviceKey=profile["key"],
        provisionDeviceSecret=profile["secret"],
        deviceName="name-of-device",
        token="token-of-device",
    )
    text = web.request("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).body.decode()
    assert "discreet sensors" in text
    for secret in (profile["key"], profile["secret"], "name-of-device", "token-of-device", "127.0.0.1"):
        assert secret not in text


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
def test_without_the_token_metrics_are_refused(web, header):
    answer = web.request("/metrics", headers={"Authorization": header})
    assert (answer.status, answer.body) == (401, b"")


def test_while_no_token_is_set_there_are_no_metrics(client, settings):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_worker_that_died_leaves_its_counts_and_no_files_behind(web):
    folder = ROOT / web.environment["FIRSTLIGHT_DATA"] / "metrics"
    files = {path.name for path in folder.iterdir()}
    before = total(scrape(web), "firstlight_reply_seconds_count")
    server = psutil.Process(web.server.process.pid)
    workers = server.children()
    assert len(workers) == 2
    workers[0].kill()
    wait_for(lambda: workers[0] not in server.children() and len(server.children()) == 2, "a new worker")

    assert total(scrape(web), "firstlight_reply_seconds_count") == before
    assert {path.name for path in folder.iterdir()} <= files


def test_profiles_beyond_the_bound_share_a_label(monkeypatch):
    monkeypatch.setattr(metrics, "_profiles", set())
    labels = {metrics.profile_label(f"profile {number}") for number in range(metrics.MAX_PROFILES + 50)}
    assert len(labels) == metrics.MAX_PROFILES + 1
    assert metrics.OTHER_PROFILE in labels
    assert metrics.profile_label("profile 0") == "profile 0"


BEATING = """
from operations.choices import Process
from operations.heartbeat import Beating
beating = Beating(Process.COAP)
beating.start()
beating.report(ready=True)
beating._thread.join()
"""


@pytest.fixture
def environment(tmp_path):
    made = os.environ | {"FIRSTLIGHT_DATA": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / 'beats.sqlite3'}"}
    manage(made, "migrate", "--verbosity", "0")
    return made


def test_process_serves_its_metrics_on_its_own_port_of_loopback(tmp_path, environment):
    port = free_port()
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "-v", "0", "-c", BEATING]
    process = Server(command, tmp_path / "log", env=environment | {"METRICS_PORT": str(port)}, cwd=ROOT)
    try:
        wait_for(lambda: listens(port), "the metrics port")

        def ready():
            result = subprocess.run(
                ["curl", "-s", f"http://127.0.0.1:{port}/metrics"], capture_output=True, text=True, check=True
            )
            return samples(result.stdout).get(("firstlight_process_ready", ("process", "coap")))

        wait_for(lambda: ready() == 1, "readiness")
        listening = [one.laddr for one in psutil.Process(process.process.pid).net_connections("tcp") if one.status == "LISTEN"]
        assert listening == [("127.0.0.1", port)]
    finally:
        process.stop()


def test_metrics_port_in_use_is_named_in_one_sentence(tmp_path, environment):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, str(ROOT / "manage.py"), "shell", "-v", "0", "-c", BEATING]
        done = subprocess.run(
            command, env=environment | {"METRICS_PORT": str(port)}, cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert done.returncode != 0
    assert f"METRICS_PORT={port} on 127.0.0.1 cannot be used" in done.stderr
