"""Bridges on Debian's Mosquitto that start, stop, fail and share the work."""

import contextlib
import json
import signal
import threading
from concurrent.futures import Future
from dataclasses import replace

import paho.mqtt.client as paho
import pytest

from tests.support.mosquitto import PASSWORD
from tests.support.mosquitto_site import MakeSite, ask, swarm
from tests.support.mqtt import connected, gone, subscribed
from tests.support.postgres import own_postgres
from tests.support.processes import wait_for
from transports.codecs import JSON
from transports.handler import Reply, ReplyKind
from transports.mqtt.bridge import probe_messages
from transports.mqtt.bridge.bridge import Bridge
from transports.mqtt.bridge.connection import Account
from transports.mqtt.bridge.messages import Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.bridge.topics import Topics
from transports.mqtt.broker_address import BrokerAddress

KEEPS_BRIEFLY = "Other bridges share the work"


class Reporter:
    """Replaces the heartbeat."""

    waiting = False

    ready = False

    def report(self, *, ready: bool, note: str = "") -> None:
        self.ready = self.ready or ready
        self.waiting = "this one waits" in note

    def has_peers(self) -> bool:
        return False

    is_alone = True
    peers = False

    def may_serve_alone(self) -> bool:
        return self.is_alone


def test_two_bridges_share_the_load_and_answer_each_request_once(site: MakeSite):
    here = site(LOG_LEVEL="DEBUG")
    bridges = [here.start_bridge(), here.start_bridge()]
    client = swarm(here, 200)

    wait_for(lambda: len(client.got) >= 200, "200 answers")
    for bridge in bridges:
        assert bridge.stop() == 0

    assert [body for _, body in client.got if json.loads(body)["status"] != "SUCCESS"] == []
    assert {topic for topic, _ in client.got} == {f"/provision/response/s{number}" for number in range(200)}
    assert len({json.loads(body)["deviceId"] for _, body in client.got}) == len(client.got) == 200
    assert all(bridge.output().count("MQTT request") > 50 for bridge in bridges)
    gone(client)


def test_bridge_that_stops_leaves_the_work_to_the_other(site: MakeSite):
    here = site()
    leaving, _ = here.start_bridge(), here.start_bridge()
    wait_for(lambda: here.notes().count("shared subscription") == 2, "the heartbeats of both")
    assert leaving.stop() == 0

    client = swarm(here, 40)

    wait_for(lambda: len(client.got) >= 40, "40 answers")
    assert {json.loads(body)["status"] for _, body in client.got} == {"SUCCESS"}
    gone(client)


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
    with own_postgres() as database:
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

    devices = BrokerAddress("mqtt", "127.0.0.1", here.broker.device_port)
    address = replace(devices, port=here.broker.bridge_port, username="bridge", password=PASSWORD)
    topics = Topics("/provision/request/{client_id}", "/provision/response/{client_id}")
    account = Account(address, "clumsy", "group", topics.requests, topics.shared_request, 200, 600)
    reporter = Reporter()
    bridge = Clumsy(account, devices, ReplyPolicy(topics, False, handle), reporter)
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


def test_killed_bridge_of_several_holds_up_requests_for_seconds_only(site: MakeSite):
    here = site()
    first, second = here.start_bridge(), here.start_bridge()
    wait_for(lambda: all(KEEPS_BRIEFLY in bridge.output() for bridge in (first, second)), "both to notice the other", 60.0)
    first.kill()

    answered = 0
    hears = connected(here.broker.bridge_port, client_id="collector", username="collector", password=PASSWORD)
    subscribed(hears, "/provision/response/+", 1)

    def is_answered(number: int) -> bool:
        name = f"after-{number}"
        here.broker.publish(f"/provision/request/{name}", here.body(name), client_id=name)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: any(topic.endswith(f"/{name}") for topic, _ in hears.got), name, 2.0)
            return True
        return False

    # A session of the dead one that is kept would get every second request: six in a row then never come.
    for number in range(60):
        answered = answered + 1 if is_answered(number) else 0
        if answered == 6:
            break
    assert answered == 6
    gone(hears)


def test_second_bridge_waits_where_there_are_no_shared_subscriptions(site: MakeSite):
    here = site()
    lead: list[Reporter] = []
    served: dict[str, list[bytes]] = {"one": [], "two": []}

    class Alone(Reporter):
        """The heartbeat of one of two bridges; the first in `lead` may serve."""

        @property
        def is_alone(self) -> bool:  # type: ignore[override]
            return lead[:1] == [self]

        def may_serve_alone(self) -> bool:
            if self not in lead:
                lead.append(self)
            return self.is_alone

    def start(name: str) -> tuple[Bridge, Alone, threading.Thread]:
        def handle(body: bytes, *_: object, **__: object) -> "Future[Reply]":
            served[name].append(body)
            reply: Future[Reply] = Future()
            reply.set_result(Reply(ReplyKind.SUCCESS, b"from " + name.encode(), JSON, "id"))
            return reply

        devices = BrokerAddress("mqtt", "127.0.0.1", here.broker.device_port)
        address = replace(devices, port=here.broker.bridge_port, username="bridge", password=PASSWORD)
        topics = Topics("/provision/request/{client_id}", "/provision/response/{client_id}")
        account = Account(address, f"bridge-{name}", "group", topics.requests, topics.shared_request, 200, 600)
        reporter = Alone()
        bridge = Bridge(account, devices, ReplyPolicy(topics, False, handle), reporter)
        # MQTT 3.1.1 has no shared subscriptions.
        bridge._version = paho.MQTTv311
        running = threading.Thread(target=bridge.run)
        running.start()
        return bridge, reporter, running

    one, first, one_running = start("one")
    wait_for(lambda: first.ready, "the first bridge")
    two, second, two_running = start("two")
    try:
        wait_for(lambda: second in lead and second.waiting, "the second bridge to wait")
        assert ask(here, "d1", b"request 1") == b"from one"
        assert not second.ready
        one.stop()
        one_running.join(30)
        lead.remove(first)
        wait_for(lambda: second.ready, "the second bridge", 60.0)
        assert ask(here, "d2", b"request 2") == b"from two"
    finally:
        one.stop()
        two.stop()
        one_running.join(30)
        two_running.join(30)
    assert served == {"one": [b"request 1"], "two": [b"request 2"]}
