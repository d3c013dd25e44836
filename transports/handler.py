"""From the bytes of a request to the bytes of its answer: the one path that all transports share.

An edge only reads the bytes, calls `handle`, and turns the kind of the Reply into its transport's own code.
"""

import enum
import logging
import secrets
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.errors import Unavailable
from provisioning.group_commit import group_commit
from provisioning.messages import Origin, ProvisionOutcome
from provisioning.services import attempt_add_detail
from transports.codecs import JSON, Codec, MalformedRequest, RequestTooLarge, decode
from transports.metrics import REPLY_SECONDS

log = logging.getLogger(__name__)


# A guessing client must not fill the log: these are counted per source and minute.
COUNTED = (Reason.KEY_EMPTY, Reason.KEY_UNKNOWN, Reason.TOO_MANY_GUESSES)


class ReplyKind(enum.Enum):
    """What kind of answer it is. Each edge has one table from these to its own codes."""

    SUCCESS = enum.auto()
    REFUSED = enum.auto()
    MALFORMED = enum.auto()
    TOO_LARGE = enum.auto()
    LIMITED = enum.auto()
    UNAVAILABLE = enum.auto()
    # The client accepts nothing so large: there is no reply.
    UNSENDABLE = enum.auto()


@dataclass(frozen=True, slots=True)
class ReplySize:
    """Bytes that a reply may have. Fields are left out of one that is longer than `wanted`; none is longer than `most`."""

    wanted: int
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request. `retry_after_s` is set for LIMITED and UNAVAILABLE."""

    kind: ReplyKind
    body: bytes = field(repr=False)
    codec: Codec = field(repr=False)
    request_id: str
    text: str = ""
    retry_after_s: int = 0


def handle(
    body: bytes,
    transport: Transport,
    address: str = "",
    *,
    idempotency_key: str | None = None,
    size: ReplySize | None = None,
    proven: bool = False,
    certificate: str = "",
) -> "Future[Reply]":
    """Return a future of the reply to the request in `body`, of any size where `size` is None. The future never fails.

    `proven`: a UDP source has proved that it receives at `address`. `certificate`: the digest of the certificate whose key
    the device has proved to have, by its TLS connection.
    """
    received = time.perf_counter()
    origin = Origin(transport, address, secrets.token_hex(8), proven, certificate)
    answer: Future[Reply] = Future()
    # Running, so that a caller who stops waiting cannot cancel what is answered later.
    answer.set_running_or_notify_cancel()

    def give(reply: Reply) -> None:
        reply = _sendable(reply, size)
        REPLY_SECONDS.labels(transport.value, reply.kind.name).observe(time.perf_counter() - received)
        answer.set_result(reply)

    try:
        request, codec = decode(body, origin, idempotency_key=idempotency_key)
    except MalformedRequest as err:
        group_commit.note_unreadable(origin, str(err))
        kind = ReplyKind.TOO_LARGE if isinstance(err, RequestTooLarge) else ReplyKind.MALFORMED
        give(Reply(kind, err.codec.encode_error(str(err)), err.codec, origin.request_id, text=str(err)))
    else:
        group_commit.submit(request, lambda outcome: give(_reply(outcome, codec, origin, size.wanted if size else None)))
    return answer


def too_large(transport: Transport, address: str = "") -> Reply:
    """Return the reply to a request that the edge stopped reading, since it is longer than MAX_REQUEST_BYTES."""
    origin = Origin(transport, address, secrets.token_hex(8))
    text = "The request is too large."
    group_commit.note_unreadable(origin, text)
    return Reply(ReplyKind.TOO_LARGE, JSON.encode_error(text), JSON, origin.request_id, text=text)


def unavailable(codec: Codec = JSON, request_id: str = "") -> Reply:
    """Return the reply while the database is unavailable."""
    text = "The service is not available at the moment. Try again later."
    return Reply(
        ReplyKind.UNAVAILABLE, codec.encode_error(text), codec, request_id, text=text, retry_after_s=Unavailable.retry_after_s
    )


def limited(retry_after_s: int) -> Reply:
    """Return the reply to a source that has presented too many wrong credentials."""
    text = "Too many wrong credentials. Try again later."
    return Reply(ReplyKind.LIMITED, JSON.encode_error(text), JSON, "", text=text, retry_after_s=retry_after_s)


def _reply(outcome: ProvisionOutcome, codec: Codec, origin: Origin, room: int | None) -> Reply:
    if outcome.reason == Reason.UNAVAILABLE:
        return unavailable(codec, origin.request_id)
    log.log(
        logging.DEBUG if outcome.status == ProvisionStatus.SUCCESS or outcome.reason in COUNTED else logging.INFO,
        "%s request %s: %s (%s)",
        origin.transport.label,
        origin.request_id,
        outcome.status,
        outcome.reason,
        extra={"request_id": origin.request_id, "transport": origin.transport.value},
    )
    try:
        body = codec.encode(outcome, room)
    except Exception:
        # An exception would be lost here, and the edge would wait for ever.
        log.exception("The answer to request %s could not be encoded", origin.request_id)
        return unavailable(codec, origin.request_id)
    return Reply(_kind(outcome), body, codec, origin.request_id, retry_after_s=outcome.retry_after_s)


def _sendable(reply: Reply, size: ReplySize | None) -> Reply:
    """Return `reply`, or if it is too large one of kind UNSENDABLE, and then the attempt says so."""
    if size is None or size.most is None or len(reply.body) <= size.most:
        return reply
    text = f"The reply was not sent: it has {len(reply.body)} bytes, and the client accepts {max(size.most, 0)}."
    log.warning("Request %s: %s", reply.request_id, text)
    if reply.kind in (ReplyKind.SUCCESS, ReplyKind.REFUSED):
        attempt_add_detail(request_id=reply.request_id, detail=text)
    return replace(reply, kind=ReplyKind.UNSENDABLE, body=b"", text=text)


def _kind(outcome: ProvisionOutcome) -> ReplyKind:
    if outcome.reason == Reason.TOO_MANY_GUESSES:
        return ReplyKind.LIMITED
    return ReplyKind.SUCCESS if outcome.status == ProvisionStatus.SUCCESS else ReplyKind.REFUSED
