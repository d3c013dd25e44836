"""`manage.py mqtt_broker` as a process among others."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.mqtt import (
    BRIDGE_PASSWORD,
    CONNACK_ACCEPTED,
    CONNACK_UNAVAILABLE,
    BareSocket,
    EchoBridge,
    EmbeddedBroker,
    client,
    connect_packet,
    connected,
    gone,
)
from tests.support.postgres import Postgres
from tests.support.processes import free_port, wait_for
from tests.support.web import ROOT

HEARTBEATS = """
from operations.models import Heartbeat
result = [[row.process, row.ready, row.note] for row in Heartbeat.objects.all()]
"""


def started_again(broker: EmbeddedBroker, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return how a second broker with the same settings ends."""
    command = [sys.executable, "manage.py", "mqtt_broker"]
    settings = broker.environment | environment
    return subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_port_in_use_is_one_sentence_that_names_the_variable(tmp_path):
    broker = EmbeddedBroker(tmp_path)

    second = started_again(broker)

    assert second.returncode == 1
    assert second.stderr.strip() == f"CommandError: Port {broker.port} on 127.0.0.1 is in use; set MQTT_PORT to another one."
    broker.stop()


def test_address_of_another_host_is_one_sentence_that_names_the_variable(tmp_path):
    broker = EmbeddedBroker(tmp_path)
    broker.stop()

    other = started_again(broker, MQTT_HOST="192.0.2.1")

    assert other.returncode == 1
    assert other.stderr.count("\n") == 1
    assert "MQTT_HOST" in other.stderr


def test_metrics_port_in_use_is_one_sentence_that_names_the_variable(tmp_path):
    broker = EmbeddedBroker(tmp_path)

    second = started_again(broker, MQTT_PORT=str(free_port()), METRICS_PORT=str(broker.port))

    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"METRICS_PORT={broker.port}" in second.stderr
    broker.stop()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_it_in_order_and_takes_it_off_the_list(tmp_path, sig):
    broker = EmbeddedBroker(tmp_path)
    wait_for(lambda: broker.shell(HEARTBEATS), "the heartbeat")
    assert broker.shell(HEARTBEATS) == [["mqtt_broker", True, f"Listens on 127.0.0.1, port {broker.port}."]]
    devices = [connected(broker.port, username="provision") for _ in range(5)]
    silent = BareSocket(broker.port)

    assert broker.server.stop(sig, timeout_s=60) == 0

    assert silent.is_closed()
    assert "Traceback" not in broker.server.output()
    assert broker.shell(HEARTBEATS) == []
    broker.stop()
    for one in devices:
        one.loop_stop()


def test_idle_provision_session_is_closed(tmp_path):
    broker = EmbeddedBroker(tmp_path, MQTT_PROVISION_IDLE_S="1")
    idle = BareSocket(broker.port)
    idle.send(connect_packet(username="provision"))

    assert idle.receive(4) == CONNACK_ACCEPTED
    assert idle.is_closed()
    broker.stop()


def test_clients_that_provision_from_one_address_leave_room_for_the_others(tmp_path):
    broker = EmbeddedBroker(tmp_path, MQTT_MAX_CONNECTIONS="20", MQTT_MAX_CONNECTIONS_PER_ADDRESS="3")
    token = broker.add_device("known")
    within = [connected(broker.port, username="provision") for _ in range(3)]
    silent = [BareSocket(broker.port) for _ in range(30)]

    beyond = BareSocket(broker.port)
    beyond.send(connect_packet(username="provision"))
    assert beyond.receive(99) == CONNACK_UNAVAILABLE
    bridge = EchoBridge(broker.port)
    device = connected(broker.port, username=token)
    within[0].publish("/provision/request", b"served")
    wait_for(lambda: within[0].got, "the reply")

    gone(device)
    bridge.stop()
    for one in silent:
        one.close()
    gone(within.pop())
    # The place is free once the broker has seen the DISCONNECT.
    wait_for(lambda: client_is_accepted(broker.port), "a free place")
    assert all(one.is_connected() for one in within)
    for one in within:
        gone(one)
    broker.stop()


def client_is_accepted(port: int) -> bool:
    one = BareSocket(port)
    try:
        one.send(connect_packet(username="provision"))
        return one.receive(4) == CONNACK_ACCEPTED
    except OSError:
        return False
    finally:
        one.close()


def test_database_outage_refuses_devices_for_now_and_serves_the_others(tmp_path):
    # Not below tmp_path, which the plain user that PostgreSQL runs as may not enter.
    postgres = Postgres(Path(os.environ["FIRSTLIGHT_TEST_FOLDER"]) / "postgres-of-the-broker")
    postgres.start()
    broker = EmbeddedBroker(tmp_path / "broker", DATABASE_URL=postgres.url("firstlight"))
    try:
        token = broker.add_device("sensor")
        device = connected(broker.port, username=token, reconnect_on_failure=False)
        bridge = EchoBridge(broker.port)
        postgres.stop()

        refused = BareSocket(broker.port)
        refused.send(connect_packet(username=token))
        assert refused.receive(99) == CONNACK_UNAVAILABLE

        # Telemetry at QoS 1 is not acknowledged: the device keeps it.
        sent = device.publish("v1/devices/me/telemetry", b'{"a": 1}', qos=1)
        wait_for(lambda: not device.is_connected(), "the end of the session")
        assert not sent.is_published()

        provisioning = connected(broker.port, username="provision")
        provisioning.publish("/provision/request", b"meanwhile")
        wait_for(lambda: provisioning.got, "the reply")
        gone(provisioning)

        postgres.start()
        again = connected(broker.port, username=token)
        again.publish("v1/devices/me/telemetry", b'{"a": 2}', qos=1).wait_for_publish(20)
        assert broker.telemetry() == {"sensor": {"a": 2}}
        gone(again)
        bridge.stop()
        assert broker.stop() == 0
    finally:
        broker.server.kill()
        postgres.stop()
    assert "Traceback" not in broker.server.output()


def test_log_at_its_most_talkative_holds_no_secret(tmp_path):
    broker = EmbeddedBroker(tmp_path, LOG_LEVEL="DEBUG")
    basic = {"client_id": "a-client-id", "username": "a-user-name", "password": "a-password"}
    broker.add_device("basic", **basic)
    token = broker.add_device("sensor")
    bridge = EchoBridge(broker.port)
    for options in ({"username": token}, basic, {"username": "provision"}):
        for topic, body in (("/provision/request", b"a-secret-in-a-request"), ("v1/devices/me/telemetry", b"a-secret-not-json")):
            one = connected(broker.port, **options, reconnect_on_failure=False)
            sent = one.publish(topic, body, qos=1)
            # What is not served ends the connection.
            wait_for(lambda one=one, sent=sent: not one.is_connected() or sent.is_published(), "PUBACK, or the end")
            gone(one)
    stranger = client(broker.port, username="a-guessed-token", password="a-guessed-password", client_id="a-guessed-id")
    wait_for(lambda: stranger.refused, "CONNACK")
    stranger.loop_stop()
    bridge.stop()
    broker.stop()

    log = broker.server.output()

    assert "Refused a client from 127.0.0.1" in log
    for secret in (token, *basic.values(), "a-secret", "a-guessed", BRIDGE_PASSWORD):
        assert secret not in log
