"""`manage.py coap_server` as a process: start, stop, and the database unavailable."""

import json
import signal
import subprocess
import sys

import pytest
from aiocoap import Code

from tests.support.processes import wait_for
from tests.transports.coap.service import ROOT, CoapService, Peer, request

STOP_TIMEOUT_S = 10


@pytest.fixture
def make_service():
    made = []

    def make(**options):
        service = CoapService(**options)
        made.append(service)
        service.prepare()
        service.start()
        return service

    yield make
    for service in made:
        service.close()


def test_port_in_use_ends_with_one_sentence_that_names_it(service):
    ended = subprocess.run(
        [sys.executable, "manage.py", "coap_server"],
        env=service.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    assert str(service.port) in line
    assert "COAP_PORT" in line


@pytest.mark.parametrize(("variable", "value"), [("COAP_HOST", "192.0.2.1"), ("COAP_PORT", "70000")])
def test_place_that_cannot_be_listened_on_ends_with_one_sentence(service, variable, value):
    environment = service.environment | {variable: value}
    command = [sys.executable, "manage.py", "coap_server"]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    assert f"{variable} {value}" in line


def test_heartbeat_says_ready_and_where(service):
    def beats():
        return service.rows("SELECT note FROM operations_heartbeat WHERE process = 'coap' AND ready")

    wait_for(beats, "the heartbeat")
    assert beats() == [f"listening on 127.0.0.1, port {service.port}"]


@pytest.mark.parametrize("host", ["::1", "0.0.0.0", "::", "localhost"])
def test_host_of_any_kind_is_bound(make_service, host):
    service = make_service(host=host)
    profile = service.create_profile("sensors")
    service.host = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(host, host)
    if host == "localhost":
        bound = service.coap_client(path="/.well-known/core")[0]
        assert "4.05" in bound
        return

    with Peer(service) as peer:
        answer = peer.ask(request(profile | {"deviceName": "any"}, mid=1))

    assert answer.code == Code.CREATED
    assert service.rows("SELECT address FROM provisioning_provisionattempt") == [service.host]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_requests_in_flight(make_service, sent):
    service = make_service()
    profile = service.create_profile("sensors")
    with Peer(service) as peer:
        with service.database_locked():
            assert peer.ask(request(profile | {"deviceName": "last"}, mid=1)).code == Code.EMPTY
            service.server.process.send_signal(sent)
            wait_for(lambda: "is stopping" in service.server.output(), "the server to stop")
            peer.send(request(profile | {"deviceName": "too late"}, mid=2))
        answer = peer.receive()
    code = service.server.process.wait(STOP_TIMEOUT_S)

    assert json.loads(answer.payload)["deviceName"] == "last"
    assert code == 0, service.server.output()
    assert "Traceback" not in service.server.output()
    assert (service.devices("last"), service.devices("too late")) == (1, 0)
    assert service.rows("SELECT count(*) FROM operations_heartbeat WHERE process = 'coap'") == ["0"]


def test_database_outage_answers_5_03_and_recovers_without_restart(make_service):
    service = make_service(postgres=True)
    profile = service.create_profile("sensors")
    with Peer(service) as peer:
        token = json.loads(peer.ask(request(profile | {"deviceName": "meter"}, mid=1)).payload)["accessToken"]
        telemetry = ("api", "v1", token, "telemetry")
        assert peer.ask(request({"a": 1}, telemetry, mid=2)).code == Code.CREATED

        service.postgres.stop()
        during_outage = [
            peer.ask(request(profile | {"deviceName": "later"}, mid=3)),
            peer.ask(request({"a": 2}, telemetry, mid=4)),
        ]
        service.postgres.start()
        back = [peer.ask(request(profile | {"deviceName": "later"}, mid=5)), peer.ask(request({"a": 3}, telemetry, mid=6))]

    assert [(answer.code, answer.opt.max_age) for answer in during_outage] == [(Code.SERVICE_UNAVAILABLE, 5)] * 2
    assert all(json.loads(answer.payload)["status"] == "FAILURE" for answer in during_outage)
    assert [answer.code for answer in back] == [Code.CREATED] * 2
    assert service.devices("later") == 1
    assert token not in service.server.output()
    assert "Traceback" not in service.server.output()
