"""What strangers may send: the server lives, says it once, and keeps nothing of it."""

import random

import pytest
from aiocoap import GET, Code
from aiocoap.numbers.types import CON, NON

from tests.transports.coap.service import Peer, request

PING = bytes([0x40, 0, 0xFF, 0xFE])
DATAGRAMS = 3_000


def garbage(seed: int) -> list[bytes]:
    """Return datagrams from pure noise to requests with some bytes turned."""
    source = random.Random(seed)
    good = [
        request(b'{"provisionDeviceKey": "nobody", "provisionDeviceSecret": "knows"}', mid=9),
        request(b"x" * 64, mid=10, block1=(3, True, 2), size1=900),
        request(b'{"a": 1}', ("api", "v1", "nobody", "telemetry"), mid=11, mtype=NON),
        request(path=(".well-known", "core"), mid=12, uri_query=("__class__=x", "rt=*")),
        request(path=("a", "b"), mid=13, uri_host="[::", uri_port=99999, accept=70_000),
    ]
    made = []
    for _ in range(DATAGRAMS):
        datagram = bytearray(source.choice(good))
        match source.randrange(4):
            case 0:
                datagram = bytearray(source.randbytes(source.randrange(200)))
            case 1:
                datagram = datagram[: source.randrange(len(datagram))]
            case 2:
                for _ in range(source.randrange(1, 6)):
                    datagram[source.randrange(len(datagram))] = source.randrange(256)
            case 3:
                datagram[1:1] = source.randbytes(source.randrange(1, 9))
        if len(datagram) > 3:
            # Version 1, and new message ids, so that most get past the first look.
            datagram[0] = 0x40 | (datagram[0] & 0x3F)
            datagram[2:4] = source.randbytes(2)
        made.append(bytes(datagram))
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_garbage_neither_stops_the_server_nor_fills_its_log(service, profile, seed):
    before = len(service.server.output().splitlines())
    with Peer(service) as stranger:
        stranger.socket.settimeout(15)
        for number, datagram in enumerate(garbage(seed)):
            stranger.send(datagram)
            if number % 100 == 0:
                # Keeps step with the server, so that nothing is lost on the way.
                stranger.send(PING)
                while stranger.socket.recv(2000)[0] & 0x30 != 0x30:
                    pass
    with Peer(service) as peer:
        answer = peer.ask(request(profile | {"deviceName": f"after-{seed}"}, mid=1))

    output = service.server.output().splitlines()[before:]
    assert service.server.alive
    assert answer.code == Code.CREATED
    assert len(output) < 30, output
    assert "Traceback" not in "\n".join(output)


@pytest.mark.parametrize(
    "datagram", [b"", b"\x40", b"\x40\x02\x00", b"\x4f\x02\x00\x01" + bytes(15), b"\xc0\x02\x00\x01", b"\x41\x02\x00\x01"]
)
def test_truncated_datagram_is_survived(peer, datagram):
    peer.send(datagram)

    while peer.ask(PING).mid != 0xFFFE:
        pass


def test_path_that_is_not_utf_8_is_survived(peer, profile):
    peer.send(request(path=("xx",), mid=2).replace(b"xx", b"\xff\xfe"))

    assert peer.ask(request(profile | {"deviceName": "after-utf-8"}, mid=3)).code == Code.CREATED


def test_peers_that_are_gone_cost_no_other_an_answer(service, peer, profile):
    # An answer to a closed port comes back as an ICMP error.
    peers = [Peer(service) for _ in range(20)]
    gone, staying = peers[::2], peers[1::2]
    with service.database_locked():
        for number, one in enumerate(peers):
            one.send(request(profile | {"deviceName": f"beside-the-gone-{number}"}, mid=40, mtype=NON))
        # The reset says that all of them have been read.
        assert peer.ask(PING).mid == 0xFFFE
        for one in gone:
            one.socket.close()

    for one in staying:
        with one:
            assert one.receive().code == Code.CREATED


@pytest.mark.parametrize(
    "datagram",
    [
        PING,
        request(path=(".well-known", "core"), mid=60, code=GET),
        request(path=("x",), mid=61),
        request(b"{}", mid=62),
        request({"provisionDeviceKey": "nobody", "provisionDeviceSecret": "knows"}, mid=63),
        request(b"x" * 1024, mid=64, block1=(0, True, 6), size1=70_000),
    ],
)
def test_answer_to_a_stranger_is_small(peer, datagram):
    # Forging a source address must not gain anything by sending through us (RFC 7252 section 11.3).
    peer.send(datagram)

    assert len(peer.socket.recv(65_535)) <= 160


def test_oversized_confirmable_datagram_answers_4_13(peer, profile):
    answer = peer.ask(request(b"x" * 60_000, mid=4, token=b"big"))

    assert (answer.code, answer.mid, answer.token) == (Code.REQUEST_ENTITY_TOO_LARGE, 4, b"big")


def test_oversized_non_confirmable_datagram_is_dropped(peer):
    peer.send(request(b"x" * 60_000, mid=5, mtype=NON))

    assert peer.ask(PING).mid == 0xFFFE


@pytest.mark.parametrize(
    ("payload", "block", "code"),
    [
        (b"x" * 64, (1, True, 2), Code.REQUEST_ENTITY_INCOMPLETE),
        (b"x" * 63, (0, True, 2), Code.BAD_REQUEST),
        (b"x" * 64, (0, True, 7), Code.BAD_REQUEST),
    ],
)
def test_impossible_block_is_refused(peer, payload, block, code):
    answer = peer.ask(request(payload, mid=hash(block) & 0xFFFF, mtype=CON, block1=block))

    assert answer.code == code
    assert answer.payload


def test_block_out_of_turn_answers_4_08_and_the_transfer_goes_on(peer, profile):
    first = peer.ask(request(b" " * 64, mid=21, block1=(0, True, 2)))
    skipped = peer.ask(request(b" " * 64, mid=22, block1=(2, True, 2)))
    second = peer.ask(request(b" " * 64, mid=23, block1=(1, False, 2)))

    assert (first.code, skipped.code) == (Code.CONTINUE, Code.REQUEST_ENTITY_INCOMPLETE)
    assert second.code == Code.BAD_REQUEST
    assert b"empty" in second.payload


def test_block_of_an_unknown_answer_answers_4_08(peer):
    assert peer.ask(request(mid=24, block2=(3, False, 6))).code == Code.REQUEST_ENTITY_INCOMPLETE
