"""The bridge without a broker: where answers go, what is acknowledged when, and what is known again."""

import json
import socket
import threading
from concurrent.futures import Future

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from provisioning.choices import Transport
from tests.support.processes import free_port, wait_for
from transports.codecs import JSON
from transports.handler import Reply, ReplyKind, ReplySize, unavailable
from transports.mqtt.bridge import probe_messages
from transports.mqtt.bridge.bridge import Bridge
from transports.mqtt.bridge.connection import Account
from transports.mqtt.bridge.delivery import Delivery
from transports.mqtt.bridge.identity import client_id, group, take_slot
from transports.mqtt.bridge.messages import Message
from transports.mqtt.bridge.packet_size import reply_size
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.bridge.topics import Topics
from transports.mqtt.broker_address import BrokerAddress, bridge_address, device_address

TOPICS = Topics("/provision/request/{client_id}", "/provision/response/{client_id}")
OWN = "/provision/request/d1"


class Core:
    """Replaces the handler: keeps the futures, for the test to answer."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, Future[Reply]]] = []

    def __call__(self, body: bytes, transport: Transport, address: str, *, size: ReplySize) -> "Future[Reply]":
        assert (transport, address) == (Transport.MQTT, "")
        self.requests.append((body, Future()))
        return self.requests[-1][1]

    def answer(self, index: int = -1, kind: ReplyKind = ReplyKind.SUCCESS) -> None:
        body, future = self.requests[index]
        future.set_result(unavailable() if kind == ReplyKind.UNAVAILABLE else Reply(kind, b"re " + body, JSON, "id"))


class ReplyChannel:
    """Replaces a connection: records what is sent through it."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, bytes | None]] = []
        self.under_way = []
        self.acknowledged: list[int] = []

    def publish(self, taken, answer) -> None:
        self.published.append((answer.topic, answer.body, answer.correlation))
        self.under_way.append(taken)

    def acknowledge(self, mid: int) -> None:
        self.acknowledged.append(mid)


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def wire() -> ReplyChannel:
    return ReplyChannel()


@pytest.fixture
def delivery(core: Core, wire: ReplyChannel) -> Delivery:
    delivery = Delivery(ReplyPolicy(TOPICS, shared=False, handle=core), lambda: None)
    delivery.connected(wire, session_present=False)
    return delivery


def response_topic(topic: str, *, shared: bool = False, topics: Topics = TOPICS, **fields) -> str:
    return ReplyPolicy(topics, shared, Core()).response_topic(Message(topic, b"", **fields))


@pytest.mark.parametrize(
    ("topic", "wish", "goes_to"),
    [
        (OWN, "", "/provision/response/d1"),
        (OWN, "/provision/response/d1", "/provision/response/d1"),
        (OWN, "/provision/response/d1/7", "/provision/response/d1/7"),
        (OWN, "/provision/response/d2", "/provision/response/d1"),
        (OWN, "/provision/response/d10", "/provision/response/d1"),
        (OWN, "/provision/response/", "/provision/response/d1"),
        (OWN, "/elsewhere/d1", "/provision/response/d1"),
        (OWN, "/provision/response/d1/#", "/provision/response/d1"),
        ("/provision/request", "/provision/response/d1", ""),
        ("/provision/request", "/provision/response/+", ""),
        ("/provision/request", "/elsewhere", ""),
        ("/provision/request", "", ""),
        ("/provision/request/", "", ""),
        ("/provision/request/a/b", "", ""),
        ("/provision/request/a+", "", ""),
        ("/provision/request/#", "", ""),
        ("/provision/request/a\0b", "", ""),
        ("/provision/request/" + "x" * 65_516, "", ""),
        ("", "", ""),
    ],
)
def test_answer_goes_to_the_sender_only(topic: str, wish: str, goes_to: str):
    assert response_topic(topic, response_topic=wish) == goes_to


def test_shared_topic_is_answered_only_when_allowed():
    assert response_topic("/provision/request", shared=True) == "/provision/response"
    assert response_topic("/provision/request", shared=False) == ""


def test_retained_request_is_not_answered():
    assert response_topic(OWN, retained=True) == ""


def test_mount_point_topics_are_understood():
    topics = Topics("{client_id}//provision/request", "{client_id}//provision/response")

    assert topics.requests == "+//provision/request"
    assert topics.shared_request == ""
    assert response_topic("d1//provision/request", topics=topics) == "d1//provision/response"
    assert response_topic("d1//provision/request", topics=topics, response_topic="d2//provision/response") == (
        "d1//provision/response"
    )


@pytest.mark.parametrize("template", ["/provision/request", "/{client_id}/{client_id}", "/a/#/{client_id}", "/+/{client_id}"])
def test_unusable_topic_setting_is_refused(template: str):
    with pytest.raises(ValueError, match="client_id"):
        Topics(template, "/provision/response/{client_id}")


def test_request_is_acknowledged_after_commit_and_puback(delivery: Delivery, core: Core, wire: ReplyChannel):
    delivery.arrived(Message(OWN, b"a", correlation=b"c"), 7)
    assert (wire.published, wire.acknowledged) == ([], [])

    core.answer()
    delivery.collect()
    assert wire.published == [("/provision/response/d1", b"re a", b"c")]
    assert wire.acknowledged == []

    delivery.handed_over(wire.under_way[0], "")
    assert wire.acknowledged == [7]
    assert delivery.unfinished == 0


@pytest.mark.parametrize("kind", [ReplyKind.REFUSED, ReplyKind.MALFORMED, ReplyKind.TOO_LARGE, ReplyKind.LIMITED])
def test_failure_is_answered_and_acknowledged(delivery: Delivery, core: Core, wire: ReplyChannel, kind: ReplyKind):
    delivery.arrived(Message(OWN, b"a"), 1)
    core.answer(kind=kind)
    delivery.collect()
    delivery.handed_over(wire.under_way[0], "")

    assert wire.published == [("/provision/response/d1", b"re a", None)]
    assert wire.acknowledged == [1]


def test_requests_are_held_while_the_database_is_unavailable_and_one_is_tried(delivery: Delivery, core: Core, wire: ReplyChannel):
    for mid in (1, 2, 3):
        delivery.arrived(Message(OWN, b"%d" % mid), mid)
    for index in range(3):
        core.answer(index, ReplyKind.UNAVAILABLE)
    delivery.collect()
    delivery.arrived(Message(OWN, b"4"), 4)

    wait_for(lambda: delivery.collect() or len(core.requests) == 4, "one to be tried again")
    assert delivery.waits_for_database
    assert delivery.unfinished == 0
    core.answer()
    delivery.collect()
    assert len(core.requests) == 7
    for index in (4, 5, 6):
        core.answer(index)
    delivery.collect()

    assert not delivery.waits_for_database
    assert sorted(body for _, body, _ in wire.published) == [b"re 1", b"re 2", b"re 3", b"re 4"]
    assert wire.acknowledged == []


def test_request_repeated_after_a_reconnect_is_handled_once_and_acknowledged_there(
    delivery: Delivery, core: Core, wire: ReplyChannel
):
    delivery.arrived(Message(OWN, b"a"), 7)
    delivery.disconnected()
    core.answer()
    delivery.collect()
    again = ReplyChannel()
    delivery.connected(again, session_present=True)
    assert again.published == [("/provision/response/d1", b"re a", None)]

    delivery.handed_over(again.under_way[0], "")
    assert again.acknowledged == []
    assert delivery.unfinished == 0
    delivery.arrived(Message(OWN, b"a", repeated=True), 7)

    assert (again.acknowledged, len(core.requests)) == ([7], 1)


def test_request_whose_acknowledgement_was_lost_is_acknowledged_again_and_not_handled_again(
    delivery: Delivery, core: Core, wire: ReplyChannel
):
    delivery.arrived(Message(OWN, b"a"), 7)
    core.answer()
    delivery.collect()
    delivery.handed_over(wire.under_way[0], "")
    delivery.disconnected()
    again = ReplyChannel()
    delivery.connected(again, session_present=True)

    delivery.arrived(Message(OWN, b"a", repeated=True), 7)
    assert (again.acknowledged, len(core.requests)) == ([7], 1)

    delivery.arrived(Message(OWN, b"a"), 7)
    assert len(core.requests) == 2, "the same packet id without DUP is a new request"


def test_lost_session_leaves_requests_answered_and_unacknowledged(delivery: Delivery, core: Core):
    delivery.arrived(Message(OWN, b"a"), 7)
    delivery.disconnected()
    again = ReplyChannel()
    delivery.connected(again, session_present=False)
    delivery.arrived(Message(OWN, b"other"), 7)

    for index in (0, 1):
        core.answer(index)
    delivery.collect()
    for request in list(again.under_way):
        delivery.handed_over(request, "")

    assert [body for _, body, _ in again.published] == [b"re a", b"re other"]
    assert again.acknowledged == [7]
    assert delivery.unfinished == 0


def test_stopping_delivery_takes_only_what_the_broker_would_not_repeat(delivery: Delivery, core: Core):
    delivery.taking = False
    delivery.arrived(Message(OWN, b"at least once"), 7)
    delivery.arrived(Message(OWN, b"at most once"), 0)

    assert [body for body, _ in core.requests] == [b"at most once"]


def test_reply_that_the_broker_refuses_is_logged_once(
    delivery: Delivery, core: Core, wire: ReplyChannel, caplog: pytest.LogCaptureFixture
):
    for mid in (1, 2):
        delivery.arrived(Message(OWN, b"a%d" % mid), mid)
        core.answer()
    delivery.collect()
    for request in list(wire.under_way):
        delivery.handed_over(request, "Not authorized")

    assert wire.acknowledged == [1, 2]
    assert caplog.text.count("Not authorized") == 1


def test_error_in_the_handler_is_answered_and_the_next_request_is_served(wire: ReplyChannel, caplog: pytest.LogCaptureFixture):
    core = Core()

    def handle(body: bytes, transport: Transport, address: str, *, size: ReplySize) -> "Future[Reply]":
        if body == b"secret-bomb":
            raise RuntimeError("boom")
        return core(body, transport, address, size=size)

    delivery = Delivery(ReplyPolicy(TOPICS, shared=False, handle=handle), lambda: None)
    delivery.connected(wire, session_present=False)
    delivery.arrived(Message(OWN, b"secret-bomb"), 1)
    delivery.arrived(Message(OWN, b"good"), 2)
    core.answer()
    delivery.collect()

    assert json.loads(wire.published[0][1])["status"] == "FAILURE"
    assert wire.published[1][1] == b"re good"
    assert "RuntimeError" in caplog.text
    assert "secret-bomb" not in caplog.text


def test_probe_is_answered_on_the_senders_topic_and_never_handled(delivery: Delivery, core: Core, wire: ReplyChannel):
    delivery.arrived(Message(OWN, probe_messages.question("p1")), 1)
    delivery.arrived(Message("/provision/request", probe_messages.question("p2")), 2)

    assert [topic for topic, *_ in wire.published] == ["/provision/response/d1", "/provision/response/p2"]
    assert core.requests == []


@pytest.mark.parametrize("body", [b'{"firstlightProbe": "forged:sig:nature"}', b'{"firstlightProbe": 1}', b'{"firstlightProbe"'])
def test_forged_probe_is_a_request_like_any_other(delivery: Delivery, core: Core, body: bytes):
    delivery.arrived(Message(OWN, body), 1)

    assert [sent for sent, _ in core.requests] == [body]


def test_slots_of_one_host_differ_and_a_freed_one_is_taken_again(tmp_path):
    first, second = take_slot(tmp_path), take_slot(tmp_path)
    assert client_id(first) != client_id(second)
    kept = client_id(first)

    first.lock.close()

    assert client_id(take_slot(tmp_path)) == kept
    second.lock.close()


def test_names_at_the_broker_depend_on_the_installations_secret(settings, tmp_path):
    slot = take_slot(tmp_path)
    before = client_id(slot), group()

    settings.LOOKUP_KEY = "another" * 10

    assert client_id(slot) != before[0]
    assert group() != before[1]
    slot.lock.close()


def test_broker_address_reads_the_url_and_prints_no_password(settings):
    settings.MQTT_BROKER_URL = "mqtt://us%40er:p%3Ass@broker.example:1999"

    address = bridge_address()

    assert (address.host, address.port, address.username, address.password) == ("broker.example", 1999, "us@er", "p:ss")
    assert str(address) == "mqtt://broker.example:1999"
    assert "p:ss" not in repr(address)
    assert (device_address().username, device_address().password) == ("", "")


class OldBroker(threading.Thread):
    """Refuses MQTT 5 as a broker of 3.1.1 does, grants what a client of 3.1.1 asks, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.port = free_port()
        self.levels: list[int] = []
        self.subscribed = b""
        self._listener = socket.create_server(("127.0.0.1", self.port))

    def run(self) -> None:
        for _ in range(2):
            peer, _ = self._listener.accept()
            with peer:
                connect = peer.recv(4096)
                self.levels.append(connect[8])
                peer.sendall(b"\x20\x02\x00\x01" if connect[8] == 5 else b"\x20\x02\x00\x00")
                if connect[8] == 4:
                    self.subscribed = peer.recv(4096)
                    peer.sendall(b"\x90\x04" + self.subscribed[2:4] + b"\x01\x01")
                    peer.recv(4096)
        self._listener.close()


class Reporter:
    def __init__(self) -> None:
        self.notes: list[tuple[bool, str]] = []

    def report(self, *, ready: bool, note: str = "") -> None:
        self.notes.append((ready, note))

    def has_peers(self) -> bool:
        return False

    is_alone = True
    peers = False

    def may_serve_alone(self) -> bool:
        return self.is_alone


def test_bridge_falls_back_to_mqtt_3_1_1_by_itself_and_without_an_alarm(core: Core, caplog: pytest.LogCaptureFixture):
    broker, reporter = OldBroker(), Reporter()
    broker.start()
    address = BrokerAddress("mqtt", "127.0.0.1", broker.port, "bridge", "secret")
    account = Account(address, "bridge-1", "group", TOPICS.requests, TOPICS.shared_request, 200, 600)
    bridge = Bridge(account, BrokerAddress("mqtt", "127.0.0.1", free_port()), ReplyPolicy(TOPICS, False, core), reporter)
    running = threading.Thread(target=bridge.run)
    running.start()

    wait_for(lambda: any(ready for ready, _ in reporter.notes), "the bridge to be ready")
    bridge.stop()
    running.join(10)

    assert broker.levels == [5, 4]
    assert b"$share" not in broker.subscribed
    assert "MQTT 3.1.1" in next(note for ready, note in reporter.notes if ready)
    assert "No connection" not in caplog.text


# --- how large a reply may be -----------------------------------------------------------------------


@pytest.mark.parametrize("correlation", [None, b"", b"c" * 20, b"c" * 124, b"c" * 125])
@pytest.mark.parametrize("topic", ["/provision/response", "/provision/response/Küche"])
def test_reply_of_the_wanted_size_fills_a_packet_of_256_bytes(topic, correlation):
    properties = Properties(PacketTypes.PUBLISH)
    if correlation is not None:
        properties.CorrelationData = correlation
    size = reply_size(topic, correlation, max_packet=0)
    # Section 3.3: first byte, length, topic, packet id, properties, payload.
    rest = 2 + len(topic.encode()) + 2 + len(properties.pack()) + size.wanted
    assert (1 + len(VariableByteIntegers.encode(rest)) + rest, size.most) == (256, None)


def test_smaller_maximum_packet_size_is_kept_and_a_larger_one_changes_nothing():
    whole = reply_size("/provision/response", None, max_packet=0)

    assert reply_size("/provision/response", None, max_packet=200) == ReplySize(whole.wanted - 56, whole.wanted - 56)
    assert reply_size("/provision/response", None, max_packet=1256) == ReplySize(whole.wanted, whole.wanted + 1000)


@pytest.mark.parametrize(
    ("addressed", "wanted"), [(True, 256 - 27), (False, 256 - 8 - len("/provision/response/k3y.1@192.0.2.7"))]
)
def test_size_counts_the_topic_on_which_the_device_hears_it(addressed, wanted):
    sizes = []

    def handle(_body: bytes, transport: Transport, source: str, *, size: ReplySize) -> "Future[Reply]":
        sizes.append(size)
        return Future()

    message = Message(TOPICS.request.replace("{client_id}", "k3y.1@192.0.2.7"), b"{}", max_packet=300)
    policy = ReplyPolicy(TOPICS, shared=False, handle=handle, addressed=addressed)
    policy.reply_to(message, policy.response_topic(message))
    assert sizes == [ReplySize(wanted, 300 - 27 if addressed else None)]


def test_reply_that_the_device_cannot_take_is_not_sent_and_its_request_is_acknowledged(
    delivery: Delivery, core: Core, wire: ReplyChannel
):
    delivery.arrived(Message(OWN, b"1"), 7)
    core.answer(0, ReplyKind.UNSENDABLE)
    delivery.collect()

    assert (wire.published, wire.acknowledged, delivery.unfinished) == ([], [7], 0)


# --- where a request came from ---------------------------------------------------------------------


@pytest.mark.parametrize(("addressed", "address"), [(True, "192.0.2.7"), (False, "")])
def test_client_id_of_the_embedded_broker_has_the_address_and_another_brokers_has_not(addressed, address):
    calls = []

    def handle(_body: bytes, transport: Transport, source: str, *, size: ReplySize) -> "Future[Reply]":
        calls.append((transport, source))
        return Future()

    request = TOPICS.request.replace("{client_id}", "k3y.1@192.0.2.7")
    ReplyPolicy(TOPICS, shared=False, handle=handle, addressed=addressed).reply_to(Message(request, b"{}"), "/reply")
    assert calls == [(Transport.MQTT, address)]
