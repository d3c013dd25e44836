"""Several bridges on one Mosquitto: they share the work, and each request has one answer."""

import contextlib
import json
import shutil
import threading
from concurrent.futures import Future

import paho.mqtt.client as paho

from tests.e2e.conftest import MakeSite
from tests.support.bridged_mosquitto import TOPICS, Reporter, account, ask, swarm
from tests.support.mosquitto import PASSWORD
from tests.support.mqtt import connected, gone, subscribed
from tests.support.processes import wait_for
from transports.codecs import JSON
from transports.handler import Reply, ReplyKind
from transports.mqtt.bridge.bridge import Bridge
from transports.mqtt.bridge.reply_policy import ReplyPolicy

KEEPS_BRIEFLY = "Other bridges share the work"
TAKEN = "took over the bridge's client id"


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


def test_bridge_whose_client_id_is_taken_says_so_and_stays_out_while_the_other_serves(site: MakeSite):
    here = site()
    first = here.start_bridge()
    # As on a second host of the same name: with lock files of its own it takes the same number, and so the same client id.
    shutil.copytree(here.environment["FIRSTLIGHT_DATA"], here.folder / "second-host")
    here.environment["FIRSTLIGHT_DATA"] = str(here.folder / "second-host")
    second = here.start_bridge()

    # Usually the first is evicted; if it was before the second had written a heartbeat, it comes back and evicts that one.
    wait_for(lambda: TAKEN in first.output() + second.output(), "one to say so in its log", 60.0)
    out, serving = (first, second) if TAKEN in first.output() else (second, first)
    wait_for(lambda: TAKEN in here.notes(), "the same in its heartbeat", 60.0)
    assert json.loads(ask(here, "d1", here.body("d1")))["status"] == "SUCCESS"

    connected_before = out.output().count("Connected to the broker")
    serving.kill()
    wait_for(lambda: out.output().count("Connected to the broker") > connected_before, "it to serve again", 120.0)
    assert TAKEN not in serving.output()
    assert json.loads(ask(here, "d2", here.body("d2")))["status"] == "SUCCESS"


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

        reporter = Alone()
        bridge = Bridge(*account(here, f"bridge-{name}"), ReplyPolicy(TOPICS, False, handle), reporter)
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
