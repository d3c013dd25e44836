"""PostgreSQL restarted under running processes: each kind of thread that keeps a connection finds a new one by itself."""

import json
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.postgres import own_postgres
from tests.support.processes import wait_for
from tests.support.stack import Stack

# More at once than one web worker process could serve with few threads, so that many threads have a connection.
AT_ONCE = 24


@pytest.fixture(scope="module")
def postgres():
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory, postgres):
    url = postgres.url("firstlight")
    with Stack(tmp_path_factory.mktemp("stack"), "web", "coap", "tasks", DATABASE_URL=url, ATTEMPTS_KEPT_DAYS="30") as started:
        yield started


@pytest.fixture(scope="module")
def token(stack):
    answer = stack.provision(stack.create_profile("reporters"), deviceName="reporter")
    return answer["credentialsValue"]


@pytest.fixture
def processes(stack):
    """Every operating system process of the stack, the same before and after."""
    before = {name: stack.pids(name) for name in ("web", "coap", "tasks")}
    yield before
    assert {name: stack.pids(name) for name in before} == before


def post(stack, path, body):
    """Return status and headers of the answer to a POST."""
    request = urllib.request.Request(stack.url + path, json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as err:
        with err:
            return err.code, dict(err.headers)


def report_from_many_threads(stack, token):
    """Return the statuses of AT_ONCE telemetry posts that were under way together."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        posts = [threads.submit(post, stack, f"/api/v1/{token}/telemetry", {"n": number}) for number in range(AT_ONCE)]
        return [one.result()[0] for one in posts]


def prune(stack, postgres):
    """Add an attempt that is too old, and have the task worker delete it."""
    postgres.psql(
        "firstlight",
        "INSERT INTO provisioning_provisionattempt"
        " (id, created_at, transport, address, request_id, device_name, outcome, reason, detail)"
        " VALUES (gen_random_uuid(), now() - interval '31 days', 'HTTP', '', '', '', 'FAILURE', 'NAME_TAKEN', '')",
    )
    stack.manage("shell", "-v", "0", "-c", "from provisioning.tasks import prune_attempts; prune_attempts.delay()")
    old = "SELECT count(*) FROM provisioning_provisionattempt WHERE created_at < now() - interval '30 days'"
    wait_for(lambda: postgres.psql("firstlight", old) == "0", "the task worker to prune")


def beats_since(postgres, process, moment):
    sql = f"SELECT count(*) FROM operations_heartbeat WHERE process = '{process}' AND ready AND beat_at > '{moment}'"
    return postgres.psql("firstlight", sql) != "0"


def coap_post(stack, path, body):
    """Return the code that coap-client prints, e.g. "2.01"; without an error it prints none."""
    url = f"coap://127.0.0.1:{stack.coap_port}/{path}"
    command = ["coap-client-notls", "-B", "10", "-m", "post", "-e", json.dumps(body), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return (done.stdout + done.stderr).split(" ")[0].strip()


def test_after_a_restart_every_thread_goes_on_at_its_first_try(stack, postgres, token, processes):
    profile = stack.create_profile("restarted sensors")
    assert set(report_from_many_threads(stack, token)) == {200}
    assert stack.provision(profile, deviceName="before")["status"] == "SUCCESS"
    assert coap_post(stack, f"api/v1/{token}/telemetry", {"n": 1}) == ""
    prune(stack, postgres)

    postgres.stop()
    postgres.start()
    moment = postgres.psql("postgres", "SELECT now()")

    # The web server's threads, the queue's drainer in both worker processes, the CoAP server's threads, heartbeats, Celery
    assert set(report_from_many_threads(stack, token)) == {200}
    for number in range(8):
        assert stack.provision(profile, deviceName=f"after-{number}")["status"] == "SUCCESS"
    assert coap_post(stack, f"api/v1/{token}/telemetry", {"n": 2}) == ""
    for process in ("coap", "tasks"):
        wait_for(lambda process=process: beats_since(postgres, process, moment), f"a heartbeat of {process}")
    prune(stack, postgres)


def test_while_the_database_is_down_the_answer_is_503_and_then_all_is_well(stack, postgres, token, processes):
    profile = stack.create_profile("patient sensors")
    body = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"], "deviceName": "patient"}
    postgres.stop()
    try:
        status, headers = post(stack, "/api/v1/provision", body)
        assert (status, headers["retry-after"]) == (503, "5")
        assert post(stack, f"/api/v1/{token}/telemetry", {"n": 3})[0] == 503
        assert stack.readyz() == {"web": "ready", "database": "unavailable"}
        assert coap_post(stack, f"api/v1/{token}/telemetry", {"n": 3}) == "5.03"
    finally:
        postgres.start()

    assert post(stack, "/api/v1/provision", body)[0] == 200
    assert post(stack, f"/api/v1/{token}/telemetry", {"n": 4})[0] == 200
    wait_for(lambda: {stack.readyz().get(name) for name in ("coap", "tasks")} == {"ready"}, "all to be ready again")
