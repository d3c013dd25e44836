"""The same request again: RFC 7252 section 4.5, on the wire."""

import json
import socket

import pytest
from aiocoap import Code
from aiocoap.numbers.types import ACK, CON, NON, RST

from tests.transports.coap.service import Peer, request

pytestmark = pytest.mark.database

# RFC 7252 section 4.3: an empty confirmable message, answered with a reset by every server.
PING = bytes([0x40, 0, 0xFF, 0xFE])


def test_repeated_datagram_gets_the_very_same_answer_and_creates_nothing_twice(service, peer, profile):
    datagram = request(profile | {"deviceName": "again"}, mid=1)

    peer.send(datagram)
    first = peer.socket.recv(2000)
    peer.send(datagram)
    second = peer.socket.recv(2000)

    assert first == second
    assert service.devices("again") == 1
    assert service.rows("SELECT count(*) FROM provisioning_provisionattempt WHERE device_name = 'again'") == ["1"]


def test_repeated_request_without_name_creates_one_device(service, peer, profile):
    before = service.rows("SELECT count(*) FROM devices_device")
    datagram = request(profile, mid=2)

    first, second = peer.ask(datagram), peer.ask(datagram)

    assert first.payload == second.payload
    assert int(service.rows("SELECT count(*) FROM devices_device")[0]) == int(before[0]) + 1


def test_datagram_repeated_while_the_first_is_in_flight_is_answered_once(service, peer, profile):
    datagram = request(profile | {"deviceName": "impatient"}, mid=3)

    with service.database_locked():
        peer.send(datagram)
        peer.send(datagram)
        # The ping is answered after both, so both have been read.
        assert peer.ask(PING).mtype is RST
    answer = peer.receive()

    assert json.loads(answer.payload)["status"] == "SUCCESS"
    assert peer.ask(PING).mtype is RST, "there was a second answer"
    assert service.devices("impatient") == 1


def test_repeated_non_confirmable_request_is_answered_once(service, peer, profile):
    datagram = request(profile | {"deviceName": "non"}, mid=4, mtype=NON)

    answer = peer.ask(datagram)
    peer.send(datagram)

    assert (answer.code, answer.mtype) == (Code.CREATED, NON)
    assert peer.ask(PING).mtype is RST, "there was a second answer"
    assert service.devices("non") == 1


def test_same_message_id_with_another_token_is_another_request(peer, profile):
    first = peer.ask(request(profile | {"deviceName": "before-restart"}, mid=5, token=b"one"))
    second = peer.ask(request(profile | {"deviceName": "after-restart"}, mid=5, token=b"two"))

    assert (first.token, second.token) == (b"one", b"two")
    assert json.loads(second.payload)["deviceName"] == "after-restart"


def test_same_message_id_of_another_peer_is_another_request(service, peer, profile):
    peer.ask(request(profile | {"deviceName": "peer-1"}, mid=6))
    with Peer(service) as other:
        answer = other.ask(request(profile | {"deviceName": "peer-2"}, mid=6))

    assert json.loads(answer.payload)["deviceName"] == "peer-2"


def test_slow_request_is_acknowledged_and_answered_separately(service, peer, profile):
    datagram = request(profile | {"deviceName": "slow"}, mid=7, token=b"slow")

    with service.database_locked():
        acknowledgement = peer.ask(datagram)
        # Retransmitted, since the acknowledgement may have been lost.
        again = peer.ask(datagram)
    answer = peer.receive()

    assert (acknowledgement.mtype, acknowledgement.code, acknowledgement.mid) == (ACK, Code.EMPTY, 7)
    assert (again.mtype, again.code, again.mid) == (ACK, Code.EMPTY, 7)
    assert (answer.mtype, answer.code, answer.token) == (CON, Code.CREATED, b"slow")
    peer.send(bytes([0x60, 0]) + answer.mid.to_bytes(2, "big"))
    assert service.devices("slow") == 1


def test_impatient_second_request_under_the_same_token_does_not_cost_the_first_its_answer(service, peer, profile):
    fields = profile | {"deviceName": "impatient-2"}

    with service.database_locked():
        peer.send(request(fields, mid=8, token=b"t"))
        peer.send(request(fields, mid=9, token=b"t"))
        while peer.receive().mtype is not ACK:
            pass
    answers = [peer.receive()]
    peer.send(bytes([0x60, 0]) + answers[0].mid.to_bytes(2, "big"))
    answers.append(peer.receive())
    peer.send(bytes([0x60, 0]) + answers[1].mid.to_bytes(2, "big"))

    assert [answer.token for answer in answers] == [b"t", b"t"]
    assert [json.loads(answer.payload)["status"] for answer in answers] == ["SUCCESS", "FAILURE"]


def test_slow_request_of_coap_client_is_answered(service, profile):
    with service.database_locked():
        client = service.start_coap_client(payload=json.dumps(profile | {"deviceName": "slow-lib"}).encode())
        output = b""
        while b"t:ACK" not in output:
            line = client.stdout.readline()
            assert line, output
            output += line
    output += client.communicate(timeout=30)[0]

    assert b"2.01" in output
    assert json.loads((service.folder / "answer").read_bytes())["deviceName"] == "slow-lib"


def test_no_answer_at_all_goes_to_a_ping_but_a_reset(peer):
    answer = peer.ask(PING)

    assert (answer.mtype, answer.code, answer.mid) == (RST, Code.EMPTY, 0xFFFE)
    peer.socket.settimeout(0)
    with pytest.raises((BlockingIOError, socket.timeout)):
        peer.receive()


def test_datagram_forged_under_the_same_message_id_displaces_no_answer(service, peer, profile):
    datagram = request(profile | {"deviceName": "displaced"}, mid=21, token=b"mine")

    peer.send(datagram)
    first = peer.socket.recv(2000)
    peer.ask(request(b"x", mid=21, token=b"forged"))
    peer.send(datagram)

    assert peer.socket.recv(2000) == first
    assert service.devices("displaced") == 1
