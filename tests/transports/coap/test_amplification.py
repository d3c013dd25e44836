"""A request from a forged address costs the owner of that address little."""

import json

import pytest
from aiocoap import GET, POST, Code, Message
from aiocoap.numbers.types import NON

from tests.transports.coap.service import PROVISION, Peer, request
from transports.coap.amplification import payload_room, shortened

HEADERS = 28
TELEMETRY = ("api", "v1", "nobody-has-this-token", "telemetry")
REQUESTS = {
    "nothing": request(mid=1, path=(), code=GET),
    "no such path": request(mid=2, path=("x",), code=GET),
    "core": request(mid=3, path=(".well-known", "core"), code=GET),
    "empty": request(mid=4),
    "no JSON": request(b"x", mid=5),
    "not confirmable": request(b"{}", mid=6, mtype=NON),
    "unknown key": request({"provisionDeviceKey": "k", "provisionDeviceSecret": "s"}, mid=7),
    "unknown token": request(b"{}", TELEMETRY, mid=8),
    "too large": request(b"x" * 16, mid=9, block1=(0, True, 0), size1=1_000_000),
    "block of nothing": request(b"x", mid=10, block1=(9, False, 6)),
    "another method": request(mid=11, code=GET, path=PROVISION),
}


def test_no_answer_to_an_unproven_address_is_three_times_as_long_as_its_request(service):
    ratios = {}
    for name, datagram in REQUESTS.items():
        with Peer(service) as peer:
            peer.send(datagram)
            answer = peer.socket.recv(65_535)
        ratios[name] = (HEADERS + len(answer)) / (HEADERS + len(datagram))

    assert max(ratios.values()) <= 3, ratios


@pytest.mark.parametrize(("code", "kept"), [(Code.BAD_REQUEST, 0), (Code.CREATED, 300)])
def test_only_errors_lose_their_text(code, kept):
    sent = Message(code=POST, uri_path=PROVISION, payload=b"{}")

    assert len(shortened(Message(code=code, payload=b"x" * 300), payload_room(sent, 2)).payload) == kept


def test_failure_keeps_as_much_of_its_text_as_there_is_room_for():
    whole = b'{"status":"FAILURE","provisionDeviceStatus":"FAILURE","errorMsg":"%s"}' % (b"x" * 200)
    answer = Message(code=Code.BAD_REQUEST, payload=whole, content_format=50)

    cut = shortened(answer, 120)
    assert len(cut.payload) == 120
    assert json.loads(cut.payload)["status"] == "FAILURE"
    assert (shortened(answer, 60).payload, shortened(answer, 60).opt.content_format) == (b"", None)
    assert shortened(answer, 300).payload == whole
