"""Block-wise transfer (RFC 7959), bounded.

aiocoap's own keeps every body that was begun, of any length, for minutes; and a body of 64 KiB is nothing that a few
forged datagrams should make us keep. Here the transfers of all peers share a fixed room (transfers.py).
"""

import hashlib
from collections.abc import Hashable

from aiocoap import Code, Message
from aiocoap.error import BadRequest, ConstructionRenderableError
from cachetools import TTLCache

from transports.coap.amplification import block_room
from transports.coap.transfers import LIFETIME_S, OVERHEAD_BYTES, TransferKey, Transfers
from transports.errors import BodyTooLarge

DOWNLOADS_BYTES = 4 * 1024 * 1024
MAX_SIZE_EXPONENT = 6


class BlockWanted(ConstructionRenderableError):
    """Not the last block yet: 2.31, with the block that was taken."""

    code = Code.CONTINUE

    def __init__(self, request: Message) -> None:
        super().__init__()
        self._block1 = request.opt.block1

    def to_message(self) -> Message:
        answer = super().to_message()
        answer.opt.block1 = self._block1
        return answer


class BlockMissing(ConstructionRenderableError):
    """A block of a transfer that is not known, or not its next one: 4.08 (RFC 7959 section 2.9.2)."""

    code = Code.REQUEST_ENTITY_INCOMPLETE
    message = "A block is missing. Begin again with the first one."


class Uploads:
    """Request bodies that arrive in blocks."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._begun = Transfers()

    def body(self, request: Message) -> bytes:
        """Return the whole body, once `request` has the last block of it.

        Raises BlockWanted while there are more to come, BlockMissing, BodyTooLarge as soon as that is known, and
        BadRequest for a block that is none.
        """
        block = request.opt.block1
        if block is None:
            return self._bounded(request.payload)
        if block.size_exponent > MAX_SIZE_EXPONENT or (block.more and len(request.payload) != block.size):
            raise BadRequest("The payload has not the size that Block1 says.")
        key = _transfer(request, request.opt.request_tag)
        before = b"" if block.block_number == 0 else self._begun.get(key)
        if before is None or block.start != len(before):
            raise BlockMissing
        if max(request.opt.size1 or 0, len(before) + len(request.payload)) > self._max_body_bytes:
            self._begun.pop(key)
            raise BodyTooLarge
        body: bytes = before + request.payload
        if block.more:
            self._begun.put(key, body)
            raise BlockWanted(request)
        self._begun.pop(key)
        return body

    def _bounded(self, body: bytes) -> bytes:
        if len(body) > self._max_body_bytes:
            raise BodyTooLarge
        return body


class Downloads:
    """Answers that are too long for one datagram. The rest goes only to the peer that sent the request."""

    def __init__(self) -> None:
        # With the exponent of the block size, beyond which none is sent.
        self._answers: TTLCache[Hashable, tuple[Message, int]] = TTLCache(
            DOWNLOADS_BYTES, LIFETIME_S, getsizeof=lambda kept: len(kept[0].payload) + OVERHEAD_BYTES
        )

    def next_block(self, request: Message) -> Message | None:
        """Return the block, not the first, of an earlier answer that `request` asks for; None when it asks for none.

        Raises BlockMissing when there is no such answer any more.
        """
        block = request.opt.block2
        if block is None or block.block_number == 0:
            return None
        answer, exponent = self._answers.get(_transfer(request), (None, 0))
        if answer is None:
            raise BlockMissing
        if block.size_exponent > exponent:
            raise BadRequest("The answer has no blocks of this size.")
        return _block(answer, block.block_number, block.size_exponent)

    def first_block(self, request: Message, answer: Message, room: int) -> Message:
        """Return `answer`, or the first block of it, if it is longer than a block or than `room` bytes.

        The other blocks are kept until the peer requests them.
        """
        wanted = request.opt.block2
        exponent = min(wanted.size_exponent, MAX_SIZE_EXPONENT) if wanted else MAX_SIZE_EXPONENT
        while exponent and len(answer.payload) > room and 2 ** (exponent + 4) > block_room(room):
            exponent -= 1
        if len(answer.payload) <= 2 ** (exponent + 4):
            return answer
        # Section 2.4: by the ETag the peer sees when blocks of two answers meet.
        answer.opt.etag = hashlib.blake2b(answer.payload, digest_size=8).digest()
        self._answers[_transfer(request)] = answer, exponent
        return _block(answer, 0, exponent)


def _block(answer: Message, number: int, exponent: int) -> Message:
    size = 2 ** (min(exponent, MAX_SIZE_EXPONENT) + 4)
    start = number * size
    if start >= len(answer.payload):
        raise BadRequest("The answer has no such block.")
    more = start + size < len(answer.payload)
    return answer.copy(payload=answer.payload[start : start + size], block2=(number, more, min(exponent, MAX_SIZE_EXPONENT)))


def _transfer(request: Message, tag: bytes | None = None) -> TransferKey:
    """Return what the messages of one transfer have in common. RFC 9175 section 3.3: the Request-Tag, in uploads."""
    path = repr((int(request.code), request.opt.uri_path, request.opt.uri_query, tag)).encode()
    host, port = request.remote.sockaddr[:2]
    return TransferKey(host, (port, hashlib.blake2b(path, digest_size=16).digest()))
