"""What is acknowledged when, and what a bridge recognises when the broker repeats it."""

import json
from concurrent.futures import Future

import pytest

from provisioning.choices import Transport
from tests.support.bridge import OWN, TOPICS, HeldRequests, ReplyChannel
from tests.support.processes import wait_for
from transports.handler import Reply, ReplyKind, ReplySize
from transports.mqtt.bridge import probe_messages
from transports.mqtt.bridge.delivery import Delivery
from transports.mqtt.bridge.messages import Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy


def test_request_is_acknowledged_after_commit_and_puback(delivery: Delivery, core: HeldRequests, channel: ReplyChannel):
    delivery.arrived(Message(OWN, b"a", correlation=b"c"), 7)
    assert (channel.published, channel.acknowledged) == ([], [])

    core.answer()
    delivery.collect()
    assert channel.published == [("/provision/response/d1", b"re a", b"c")]
    assert channel.acknowledged == []

    delivery.handed_over(channel.under_way[0], "")
    assert channel.acknowledged == [7]
    assert delivery.unfinished == 0


@pytest.mark.parametrize("kind", [ReplyKind.REFUSED, ReplyKind.MALFORMED, ReplyKind.TOO_LARGE, ReplyKind.LIMITED])
def test_failure_is_answered_and_acknowledged(delivery: Delivery, core: HeldRequests, channel: ReplyChannel, kind: ReplyKind):
    delivery.arrived(Message(OWN, b"a"), 1)
    core.answer(kind=kind)
    delivery.collect()
    delivery.handed_over(channel.under_way[0], "")

    assert channel.published == [("/provision/response/d1", b"re a", None)]
    assert channel.acknowledged == [1]


def test_requests_are_held_while_the_database_is_unavailable_and_one_is_tried(
    delivery: Delivery, core: HeldRequests, channel: ReplyChannel
):
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
    assert sorted(body for _, body, _ in channel.published) == [b"re 1", b"re 2", b"re 3", b"re 4"]
    assert channel.acknowledged == []


def test_request_repeated_after_a_reconnect_is_handled_once_and_acknowledged_there(
    delivery: Delivery, core: HeldRequests, channel: ReplyChannel
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
    delivery: Delivery, core: HeldRequests, channel: ReplyChannel
):
    delivery.arrived(Message(OWN, b"a"), 7)
    core.answer()
    delivery.collect()
    delivery.handed_over(channel.under_way[0], "")
    delivery.disconnected()
    again = ReplyChannel()
    delivery.connected(again, session_present=True)

    delivery.arrived(Message(OWN, b"a", repeated=True), 7)
    assert (again.acknowledged, len(core.requests)) == ([7], 1)

    delivery.arrived(Message(OWN, b"a"), 7)
    assert len(core.requests) == 2, "the same packet id without DUP is a new request"


def test_lost_session_leaves_requests_answered_and_unacknowledged(delivery: Delivery, core: HeldRequests):
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


def test_stopping_delivery_takes_only_what_the_broker_would_not_repeat(delivery: Delivery, core: HeldRequests):
    delivery.taking = False
    delivery.arrived(Message(OWN, b"at least once"), 7)
    delivery.arrived(Message(OWN, b"at most once"), 0)

    assert [body for body, _ in core.requests] == [b"at most once"]


def test_reply_that_the_broker_refuses_is_logged_once(
    delivery: Delivery, core: HeldRequests, channel: ReplyChannel, caplog: pytest.LogCaptureFixture
):
    for mid in (1, 2):
        delivery.arrived(Message(OWN, b"a%d" % mid), mid)
        core.answer()
    delivery.collect()
    for request in list(channel.under_way):
        delivery.handed_over(request, "Not authorized")

    assert channel.acknowledged == [1, 2]
    assert caplog.text.count("Not authorized") == 1


def test_error_in_the_handler_is_answered_and_the_next_request_is_served(channel: ReplyChannel, caplog: pytest.LogCaptureFixture):
    core = HeldRequests()

    def handle(body: bytes, transport: Transport, address: str, *, size: ReplySize, certificate: str = "") -> "Future[Reply]":
        if body == b"secret-bomb":
            raise RuntimeError("boom")
        return core(body, transport, address, size=size)

    delivery = Delivery(ReplyPolicy(TOPICS, shared=False, handle=handle), lambda: None)
    delivery.connected(channel, session_present=False)
    delivery.arrived(Message(OWN, b"secret-bomb"), 1)
    delivery.arrived(Message(OWN, b"good"), 2)
    core.answer()
    delivery.collect()

    assert json.loads(channel.published[0][1])["status"] == "FAILURE"
    assert channel.published[1][1] == b"re good"
    assert "RuntimeError" in caplog.text
    assert "secret-bomb" not in caplog.text


def test_probe_is_answered_on_the_senders_topic_and_never_handled(delivery: Delivery, core: HeldRequests, channel: ReplyChannel):
    delivery.arrived(Message(OWN, probe_messages.question("p1")), 1)
    delivery.arrived(Message("/provision/request", probe_messages.question("p2")), 2)

    assert [topic for topic, *_ in channel.published] == ["/provision/response/d1", "/provision/response/p2"]
    assert core.requests == []


@pytest.mark.parametrize("body", [b'{"firstlightProbe": "forged:sig:nature"}', b'{"firstlightProbe": 1}', b'{"firstlightProbe"'])
def test_forged_probe_is_a_request_like_any_other(delivery: Delivery, core: HeldRequests, body: bytes):
    delivery.arrived(Message(OWN, body), 1)

    assert [sent for sent, _ in core.requests] == [body]


def test_reply_that_the_device_cannot_take_is_not_sent_and_its_request_is_acknowledged(
    delivery: Delivery, core: HeldRequests, channel: ReplyChannel
):
    delivery.arrived(Message(OWN, b"1"), 7)
    core.answer(0, ReplyKind.UNSENDABLE)
    delivery.collect()

    assert (channel.published, channel.acknowledged, delivery.unfinished) == ([], [7], 0)


def test_request_that_waited_too_long_for_the_database_is_dropped(core: HeldRequests, channel: ReplyChannel):
    delivery = Delivery(ReplyPolicy(TOPICS, shared=False, handle=core), lambda: None, max_age_s=3600)
    delivery.connected(channel, session_present=False)
    delivery.arrived(Message(OWN, b"patient"), 1)
    delivery.arrived(Message(OWN, b"impatient", expires_in_s=0), 2)
    assert [body for body, _ in core.requests] == [b"patient"]
    core.answer(0, ReplyKind.UNAVAILABLE)
    delivery.collect()
    assert channel.acknowledged == [2]

    wait_for(lambda: delivery.collect() or len(core.requests) == 2, "the patient one to be tried again")
    core.answer()
    delivery.collect()

    delivery.handed_over(channel.under_way[0], "")

    assert channel.published == [("/provision/response/d1", b"re patient", None)]
    assert channel.acknowledged == [2, 1]
    assert delivery.unfinished == 0
