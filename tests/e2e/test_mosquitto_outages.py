"""Bad days of a bridge on Mosquitto: broker, database or the bridge itself goes away, and no request is lost."""

import json
import signal
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeSite
from tests.support.bridged_mosquitto import TOPICS, Reporter, account, ask, swarm
from tests.support.mqtt import gone
from tests.support.postgres import Postgres
from tests.support.processes import wait_for
from transports.codecs import JSON
from transports.handler import Reply, ReplyKind
from transports.mqtt.bridge import probe_messages
from transports.mqtt.bridge.bridge import Bridge
from transports.mqtt.bridge.messages import Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy


def test_broker_restart_is_logged_once_and_survived(site: MakeSite):
    here = site()
    bridge = here.start_bridge()
    here.broker.stop()
    wait_for(lambda: "No connection to the broker" in bridge.output(), "the bridge to notice")
    wait_for(lambda: "no connection" in here.notes(), "the heartbeat to say so")

    here.broker.start()
    wait_for(lambda: bridge.output().count("Connected to the broker") == 2, "the bridge to come back")
    answer = here.broker.request("/provision/request/d1", "/provision/response/d1", here.body("d1").decode(), client_id="d1")

    assert json.loads(answer)["status"] == "SUCCESS"
    assert bridge.output().count("No connection to the broker") == 1


def test_request_while_the_database_is_down_is_answered_when_it_is_back(site: MakeSite):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        database = Postgres(Path(folder) / "postgres")
        database.start()
        try:
            here = site(DATABASE_URL=database.url("firstlight"))
            bridge = here.start_bridge()
            database.stop()
            client = swarm(here, 20)
            wait_for(lambda: "Database unavailable" in bridge.output(), "the bridge to notice")
            assert client.got == []

            database.start()

            wait_for(lambda: len(client.got) >= 20, "20 answers")
            assert {json.loads(body)["status"] for _, body in client.got} == {"SUCCESS"}
            assert len(client.got) == 20
            gone(client)
        finally:
            database.stop()


def test_killed_bridge_leaves_requests_that_the_next_one_answers(site: MakeSite):
    here = site()
    bridge = here.start_bridge()
    client = swarm(here, 300, named=True)
    wait_for(lambda: len(client.got) >= 5, "the first answers")
    bridge.kill()

    here.start_bridge()

    wait_for(lambda: len({json.loads(body).get("deviceId") for _, body in client.got}) == 300, "an answer for each device")
    assert {json.loads(body)["status"] for _, body in client.got} == {"SUCCESS"}
    assert here.count("devices.Device") == here.count("devices.DeviceCredentials") == 300
    gone(client)


def test_stopping_bridge_finishes_what_it_has_and_is_gone_in_time(site: MakeSite):
    here = site()
    bridge = here.start_bridge()
    client = swarm(here, 100)

    assert bridge.stop(signal.SIGTERM, timeout_s=10) == 0
    here.start_bridge()

    wait_for(lambda: len(client.got) >= 100, "100 answers")
    assert len(client.got) == 100
    assert {json.loads(body)["status"] for _, body in client.got} == {"SUCCESS"}
    gone(client)


def test_error_in_a_callback_costs_a_connection_and_not_the_bridge(site: MakeSite, caplog: pytest.LogCaptureFixture):
    here = site()

    def handle(body: bytes, *_: object, **__: object) -> "Future[Reply]":
        reply: Future[Reply] = Future()
        reply.set_result(Reply(ReplyKind.SUCCESS, b"served", JSON, "id"))
        return reply

    class Clumsy(Bridge):
        stumbled = False

        def arrived(self, message: Message, mid: int) -> None:
            if mid and not probe_messages.prober(message.body) and not self.stumbled:
                self.stumbled = True
                raise RuntimeError("stumbled")
            super().arrived(message, mid)

    reporter = Reporter()
    bridge = Clumsy(*account(here, "clumsy"), ReplyPolicy(TOPICS, False, handle), reporter)
    running = threading.Thread(target=bridge.run)
    running.start()
    try:
        wait_for(lambda: reporter.ready, "the bridge")
        answer = ask(here, "d1", b"request")
    finally:
        bridge.stop()
        running.join(15)

    assert answer == b"served"
    assert bridge.stumbled
    assert "stumbled" in caplog.text
    assert not running.is_alive()
