"""`manage.py mqtt_bridge` on Debian's Mosquitto with the configuration in deploy/mosquitto (issue: real broker)."""

import contextlib
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.support.databases import installation
from tests.support.mosquitto import PASSWORD, Mosquitto
from tests.support.mqtt import CONNACK_ACCEPTED, BareSocket, connect_packet, connected, gone, publish_packet, subscribed
from tests.support.postgres import Postgres
from tests.support.processes import Server, wait_for
from tests.support.web import ROOT, create_profile, manage
from transports.codecs import JSON
from transports.codecs import provision_pb2 as wire
from transports.handler import Reply, ReplyKind
from transports.mqtt.bridge import probe_messages
from transports.mqtt.bridge.bridge import Bridge
from transports.mqtt.bridge.connection import Account
from transports.mqtt.bridge.messages import Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.bridge.topics import Topics
from transports.mqtt.broker_address import BrokerAddress

DISCONNECT = b"\xe0\x00"
KEEPS_BRIEFLY = "Other bridges share the work"
PROBE = b'{"firstlightProbe"'
STRANGER = "$share/any//provision/request/+"


class Site:
    """One installation with its broker, and the bridges that a test starts."""

    def __init__(self, folder: Path, broker: Mosquitto, **settings: str) -> None:
        self.folder, self.broker = folder, broker
        self.environment = installation(folder, **broker.settings | settings)
        self.profile = create_profile(self.environment, "sensors")
        self.bridges: list[Server] = []

    def start_bridge(self) -> Server:
        log = self.folder / f"bridge-{len(self.bridges)}.log"
        bridge = Server([sys.executable, "manage.py", "mqtt_bridge"], log, env=self.environment, cwd=ROOT)
        self.bridges.append(bridge)
        wait_for(lambda: "Connected to the broker" in bridge.output() or not bridge.alive, "the bridge")
        assert bridge.alive, bridge.output()
        return bridge

    def body(self, name: str, **fields: Any) -> bytes:
        secrets = {"provisionDeviceKey": self.profile["key"], "provisionDeviceSecret": self.profile["secret"]}
        return json.dumps({"deviceName": name, **secrets, **fields}).encode()

    def count(self, model: str, where: str = "") -> int:
        code = f"from django.apps import apps; print(apps.get_model('{model}').objects.filter({where}).count())"
        return int(manage(self.environment, "shell", "--verbosity", "0", "-c", code).split()[-1])

    def notes(self) -> str:
        code = "from operations.models import Heartbeat; print(*Heartbeat.objects.values_list('note', flat=True))"
        return manage(self.environment, "shell", "--verbosity", "0", "-c", code)

    def outputs(self) -> str:
        return "".join(bridge.output() for bridge in self.bridges)


MakeSite = Callable[..., Site]


@pytest.fixture
def site() -> Iterator[MakeSite]:
    """Return a function that makes a Site; its processes end with the test, and none has logged a secret."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        sites: list[Site] = []

        def make(*, shared: bool = False, open_to_all: bool = False, tls: bool = False, **settings: str) -> Site:
            broker = Mosquitto(folder / "broker", shared=shared, open_to_all=open_to_all)
            settings |= broker.add_tls_listener() if tls else {}
            broker.start()
            cleanup.callback(broker.stop)
            sites.append(Site(folder / "site", broker, **settings))
            return sites[-1]

        yield make
        for made in sites:
            for bridge in made.bridges:
                bridge.kill()
            assert made.profile["secret"] not in made.outputs()


def answers(listener: Any, count: int = 1, timeout_s: float = 30.0) -> list[dict[str, Any]]:
    return [json.loads(body) for body in listener.wait(count, timeout_s)]


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_own_topics_give_a_device_its_credentials_and_an_eavesdropper_nothing(site: MakeSite, version: str):
    here = site()
    bridge = here.start_bridge()
    everything = ("#", "/provision/#", "/provision/response/+", "/provision/response/d1", "/provision/request/+", STRANGER)
    eve = here.broker.listener(*everything, client_id="eve", version=version)

    answer = _ask(here, "d1", here.body("d1"), version)

    assert json.loads(answer)["status"] == "SUCCESS"
    assert eve.heard == []
    eve.close()
    assert bridge.stop() == 0


def test_mqtt_5_response_topic_with_correlation_data_is_honoured_below_the_own_topic(site: MakeSite):
    here = site()
    here.start_bridge()

    answer = here.broker.request("/provision/request/d1", "/provision/response/d1", here.body("d1").decode(), client_id="d1")

    assert json.loads(answer)["status"] == "SUCCESS", answer


def test_protobuf_request_is_answered_in_protobuf(site: MakeSite):
    here = site()
    here.start_bridge()
    request = wire.ProvisionDeviceRequestMsg(deviceName="proto-1")
    request.provisionDeviceCredentialsMsg.provisionDeviceKey = here.profile["key"]
    request.provisionDeviceCredentialsMsg.provisionDeviceSecret = here.profile["secret"]

    answer = _ask(here, "p1", request.SerializeToString())

    assert wire.ProvisionDeviceResponseMsg.FromString(answer).status == wire.SUCCESS


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_shared_topic_is_answered_when_the_operator_allows_it(site: MakeSite, version: str):
    here = site(shared=True, MQTT_ALLOW_SHARED_RESPONSES="true")
    here.start_bridge()
    device = here.broker.listener("/provision/response", version=version)

    here.broker.publish("/provision/request", here.body("old-1"), version=version)

    assert answers(device)[0]["status"] == "SUCCESS"
    device.close()


def test_shared_topic_is_not_answered_without_the_option_and_the_log_and_heartbeat_say_so(site: MakeSite):
    here = site(shared=True)
    bridge = here.start_bridge()
    device = here.broker.listener("/provision/response")
    wait_for(lambda: "Unmodified firmware" in bridge.output(), "the probe's verdict")

    here.broker.publish("/provision/request", here.body("old-1"))
    wait_for(lambda: "was not answered" in bridge.output(), "the warning")
    answer = here.broker.request("/provision/request/n1", "/provision/response/n1", here.body("new-1").decode(), client_id="n1")

    assert json.loads(answer)["status"] == "SUCCESS"
    assert device.heard == []
    assert bridge.output().count("Unmodified firmware") == 1
    wait_for(lambda: "only for firmware that uses topics of its own" in here.notes(), "the heartbeat")
    assert here.count("devices.Device") == 1
    device.close()


def test_open_broker_is_found_leaking_and_no_probe_becomes_an_attempt(site: MakeSite):
    here = site(open_to_all=True)
    bridge = here.start_bridge()

    wait_for(lambda: "any client can read them" in bridge.output(), "the probe's verdict")

    wait_for(lambda: "any client can read them" in here.notes(), "the heartbeat")
    assert here.count("provisioning.ProvisionAttempt") == here.count("provisioning.RejectedRequest") == 0


def test_oversized_and_malformed_requests_are_answered_with_failure(site: MakeSite):
    here = site()
    here.start_bridge()

    for body in (b"x" * 70_000, b"[" * 5_000, b"{}", b"\xff\xfe"):
        assert json.loads(_ask(here, "d1", body))["status"] == "FAILURE", body[:10]


def test_two_bridges_share_the_load_and_answer_each_request_once(site: MakeSite):
    here = site(LOG_LEVEL="DEBUG")
    bridges = [here.start_bridge(), here.start_bridge()]
    client = _swarm(here, 200)

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

    client = _swarm(here, 40)

    wait_for(lambda: len(client.got) >= 40, "40 answers")
    assert {json.loads(body)["status"] for _, body in client.got} == {"SUCCESS"}
    gone(client)


def test_tls_for_devices_and_with_a_certificate_of_the_bridges_own(site: MakeSite):
    here = site(tls=True)
    bridge = here.start_bridge()

    assert json.loads(_ask(here, "d1", here.body("d1")))["status"] == "SUCCESS"
    assert json.loads(here.broker.request_over_tls("d2", here.body("d2").decode()))["status"] == "SUCCESS"
    assert "mqtts://localhost" in bridge.output()


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
            client = _swarm(here, 20)
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
    client = _swarm(here, 300, named=True)
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
    client = _swarm(here, 100)

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
        answer = _ask(here, "d1", b"request")
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
        assert _ask(here, "d1", b"request 1") == b"from one"
        assert not second.ready
        one.stop()
        one_running.join(30)
        lead.remove(first)
        wait_for(lambda: second.ready, "the second bridge", 60.0)
        assert _ask(here, "d2", b"request 2") == b"from two"
    finally:
        one.stop()
        two.stop()
        one_running.join(30)
        two_running.join(30)
    assert served == {"one": [b"request 1"], "two": [b"request 2"]}


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


def _ask(here: Site, client_id: str, body: bytes, version: str = "mqttv311") -> bytes:
    """Return the answer that a client gets on the topics of its own."""
    protocol = paho.MQTTv5 if version == "mqttv5" else paho.MQTTv311
    client = connected(here.broker.device_port, client_id=client_id, username="provision", protocol=protocol)
    subscribed(client, f"/provision/response/{client_id}", 1)
    client.publish(f"/provision/request/{client_id}", body)
    wait_for(lambda: client.got, "the answer")
    gone(client)
    ((topic, answer),) = client.got
    assert topic == f"/provision/response/{client_id}"
    return answer


def _swarm(here: Site, count: int, *, named: bool = False) -> paho.Client:
    """Have `count` devices ask, each from a connection of its own as the ACL wants it; return a client that hears all answers."""
    hears = connected(here.broker.bridge_port, client_id="collector", username="collector", password=PASSWORD)
    hears.on_message = lambda _client, _data, message: (
        # A bridge that starts probes the broker, and the answer to that comes here too.
        None if message.payload.startswith(PROBE) else hears.got.append((message.topic, message.payload))
    )
    subscribed(hears, "/provision/response/+", 1)
    for number in range(count):
        name = f"s{number}"
        fields = {"idempotencyKey": f"idempotency-key-of-{name}"} if named else {}
        device = BareSocket(here.broker.device_port)
        device.send(connect_packet(client_id=name) + publish_packet(f"/provision/request/{name}", here.body(name, **fields)))
        assert device.receive(4) == CONNACK_ACCEPTED
        device.send(DISCONNECT)
        assert device.is_closed()
    return hears
