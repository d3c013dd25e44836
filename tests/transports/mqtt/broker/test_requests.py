"""Requests on their way to bridges: none is lost, none goes to two."""

import pytest

from tests.support.mqtt import (
    CONNACK_ACCEPTED,
    BareSocket,
    EchoBridge,
    connect_packet,
    connected,
    gone,
    publish_packet,
)
from tests.support.processes import wait_for

REQUEST, RESPONSE = "/provision/request", "/provision/response"


@pytest.fixture
def device(broker):
    one = connected(broker.port, username="provision")
    yield one
    gone(one)


def test_request_before_any_bridge_is_there_is_answered_later(broker, device):
    device.publish(REQUEST, b"early")

    bridge = EchoBridge(broker.port)

    wait_for(lambda: device.got, "the reply")
    assert device.got == [(RESPONSE, b"echo early")]
    bridge.stop()


def test_request_of_a_device_that_has_gone_is_not_answered(broker, device):
    leaving = BareSocket(broker.port)
    leaving.send(connect_packet(username="provision"))
    assert leaving.receive(4) == CONNACK_ACCEPTED
    leaving.send(publish_packet(REQUEST, b"abandoned") + b"\xe0\x00")
    assert leaving.is_closed()
    device.publish(REQUEST, b"patient")

    bridge = EchoBridge(broker.port)

    wait_for(lambda: device.got, "the reply")
    assert bridge.bodies() == [b"patient"]
    bridge.stop()


def test_publish_is_acknowledged_only_after_the_bridge_has(broker, device):
    slow = EchoBridge(broker.port, hold=True)
    sent = device.publish(REQUEST, b"held", qos=1)
    wait_for(lambda: slow.requests, "the request")
    device.subscribe(RESPONSE)
    assert not sent.is_published()

    slow.vanish()
    bridge = EchoBridge(broker.port)

    wait_for(lambda: device.got and sent.is_published(), "reply and PUBACK")
    assert device.got == [(RESPONSE, b"echo held")]
    bridge.stop()


def test_bridge_that_reconnects_gets_its_requests_in_flight_again(broker, device):
    lost = EchoBridge(broker.port, hold=True)
    device.publish(REQUEST, b"first")
    wait_for(lambda: lost.requests, "the first request")
    lost.vanish()
    device.publish(REQUEST, b"second")

    back = EchoBridge(broker.port)

    wait_for(lambda: len(device.got) == 2, "both replies")
    assert [(body, dup) for _, body, dup in back.requests] == [(b"first", True), (b"second", False)]
    back.stop()


def test_requests_in_flight_of_a_bridge_without_a_session_go_to_another(broker, device):
    lost = EchoBridge(broker.port, client_id="short-lived", clean_session=True, hold=True)
    device.publish(REQUEST, b"held")
    wait_for(lambda: lost.requests, "the request")
    other = EchoBridge(broker.port, client_id="another")

    lost.vanish()

    wait_for(lambda: device.got, "the reply")
    assert other.bodies() == [b"held"]
    other.stop()


def test_two_bridges_divide_the_requests(broker, device):
    bridges = [EchoBridge(broker.port, client_id=f"bridge-{number}", hold=True) for number in (1, 2)]
    for number in range(10):
        device.publish(REQUEST, str(number))

    wait_for(lambda: sum(len(one.requests) for one in bridges) == 10, "all requests")

    assert [len(one.requests) for one in bridges] == [5, 5]
    assert sorted(bridges[0].bodies() + bridges[1].bodies()) == [str(number).encode() for number in range(10)]
    for one in bridges:
        one.stop()
