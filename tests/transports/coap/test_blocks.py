"""The room for block-wise transfers is bounded."""

from types import SimpleNamespace

import pytest
from aiocoap import POST, Message
from aiocoap.error import BadRequest

from transports.coap import blocks
from transports.coap.blocks import BlockMissing, BlockWanted, BodyTooLarge, Downloads, Uploads

BODY_LIMIT = 64 * 1024
BLOCK = b"x" * 1024


def received(payload: bytes = b"", port: int = 1, **options: object) -> Message:
    message = Message(code=POST, payload=payload, uri_path=("api", "v1", "provision"), **options)
    message.remote = SimpleNamespace(sockaddr=("::1", port, 0, 0))
    return message


def begin(uploads: Uploads, port: int, number: int = 0) -> None:
    with pytest.raises(BlockWanted):
        uploads.body(received(BLOCK, port, block1=(number, True, 6)))


def test_blocks_in_order_make_the_body():
    uploads = Uploads(BODY_LIMIT)
    begin(uploads, 1)
    begin(uploads, 1, 1)

    assert uploads.body(received(b"end", block1=(2, False, 6))) == BLOCK + BLOCK + b"end"


def test_finished_body_is_not_kept():
    uploads = Uploads(BODY_LIMIT)
    begin(uploads, 1)
    uploads.body(received(b"end", block1=(1, False, 6)))

    with pytest.raises(BlockMissing):
        uploads.body(received(b"end", block1=(1, False, 6)))


def test_transfers_of_two_peers_and_of_two_tags_are_apart():
    uploads = Uploads(BODY_LIMIT)
    begin(uploads, 1)
    with pytest.raises(BlockMissing):
        uploads.body(received(b"end", 2, block1=(1, False, 6)))
    with pytest.raises(BlockMissing):
        uploads.body(received(b"end", 1, block1=(1, False, 6), request_tag=b"other"))


def test_body_over_the_limit_is_refused_and_forgotten():
    uploads = Uploads(2048)
    begin(uploads, 1)
    begin(uploads, 1, 1)

    with pytest.raises(BodyTooLarge):
        uploads.body(received(b"x", block1=(2, False, 6)))
    with pytest.raises(BlockMissing):
        uploads.body(received(b"x", block1=(2, False, 6)))


def test_answers_stay_within_their_room(monkeypatch):
    monkeypatch.setattr(blocks, "DOWNLOADS_BYTES", 20_000)
    downloads = Downloads()
    for port in range(1, 101):
        first = downloads.first_block(received(port=port), Message(payload=BLOCK + b"rest"), 2048)
        assert (first.payload, first.opt.block2) == (BLOCK, (0, True, 6))

    assert downloads._answers.currsize <= 20_000
    assert downloads.next_block(received(port=100, block2=(1, False, 6))).payload == b"rest"
    with pytest.raises(BlockMissing):
        downloads.next_block(received(port=1, block2=(1, False, 6)))


def test_answer_goes_only_to_the_peer_that_sent_the_request():
    downloads = Downloads()
    downloads.first_block(received(port=1), Message(payload=BLOCK + b"secret"), 2048)

    with pytest.raises(BlockMissing):
        downloads.next_block(received(port=2, block2=(1, False, 6)))


def test_answer_longer_than_its_room_comes_in_smaller_blocks_and_in_no_larger_ones():
    downloads = Downloads()
    first = downloads.first_block(received(), Message(payload=b"x" * 300), 150)

    assert (len(first.payload), first.opt.block2) == (128, (0, True, 3))
    assert len(downloads.next_block(received(block2=(1, True, 3))).payload) == 128
    with pytest.raises(BadRequest):
        downloads.next_block(received(block2=(1, True, 4)))
