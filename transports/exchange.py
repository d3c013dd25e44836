"""From the bytes of a request to the bytes of its answer: the one path that all transports share.

An edge only reads the bytes, calls `exchange`, and turns the kind of the Reply into its transport's own code.
"""

import enum
import logging
import secrets
import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.errors import Unavailable
from provisioning.group_commit import group_commit
from provisioning.messages import Origin, ProvisionOutcome
from transports.codecs import JSON, Codec, MalformedRequest, RequestTooLarge, decode
from transports.metrics import REPLY_SECONDS

log = logging.getLogger(__name__)


# Whoever guesses must fill no log either: these are counted per source and minute.
COUNTED = (Reason.KEY_EMPTY, Reason.KEY_UNKNOWN, Reason.TOO_MANY_GUESSES)


class ReplyKind(enum.Enum):
    """What kind of answer it is. Each edge has one table from these to its own codes."""

    SUCCESS = enum.auto()
    REFUSED = enum.auto()
    MALFORMED = enum.auto()
    TOO_LARGE = enum.auto()
    LIMITED = enum.auto()
    UNAVAILABLE = enum.auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request. `retry_after_s` is set for LIMITED and UNAVAILABLE."""

    kind: ReplyKind
    body: bytes = field(repr=False)
    codec: Codec = field(repr=False)
    request_id: str
    text: str = ""
    retry_after_s: int = 0


def exchange(body: bytes, transport: Transport, address: str = "", *, idempotency_key: str | None = None) -> "Future[Reply]":
    """Return a future of the reply to the request in `body`. The future never fails."""
    origin = Origin(transport, address, secrets.token_hex(8))
    reply: Future[Reply] = Future()
    # Running, so that a caller who stops waiting cannot cancel what is answered later.
    reply.set_running_or_notify_cancel()
    received = time.perf_counter()
    reply.add_done_callback(lambda done: _measure(transport, done.result(), time.perf_counter() - received))
    try:
        request, codec = decode(body, origin, idempotency_key=idempotency_key)
    except MalformedRequest as err:
        group_commit.note_unreadable(origin, str(err))
        kind = ReplyKind.TOO_LARGE if isinstance(err, RequestTooLarge) else ReplyKind.MALFORMED
        reply.set_result(Reply(kind, err.codec.encode_error(str(err)), err.codec, origin.request_id, text=str(err)))
        return reply
    group_commit.submit(request).add_done_callback(lambda done: _answer(reply, done, codec, origin))
    return reply


def too_large(transport: Transport, address: str = "") -> Reply:
    """Return the reply to a request that the edge stopped reading, since it is longer than MAX_REQUEST_BYTES."""
    origin = Origin(transport, address, secrets.token_hex(8))
    text = "The request is too large."
    group_commit.note_unreadable(origin, text)
    return Reply(ReplyKind.TOO_LARGE, JSON.encode_error(text), JSON, origin.request_id, text=text)


def unavailable(codec: Codec = JSON, request_id: str = "") -> Reply:
    """Return the reply while the database is away."""
    text = "The service is not available at the moment. Try again later."
    return Reply(
        ReplyKind.UNAVAILABLE, codec.encode_error(text), codec, request_id, text=text, retry_after_s=Unavailable.retry_after_s
    )


def _answer(reply: "Future[Reply]", done: "Future[ProvisionOutcome]", codec: Codec, origin: Origin) -> None:
    try:
        reply.set_result(_reply(done, codec, origin))
    except Exception:
        # What a callback raises nobody sees, and the edge would wait for ever.
        log.exception("The answer to request %s could not be encoded", origin.request_id)
        reply.set_result(unavailable(codec, origin.request_id))


def _measure(transport: Transport, reply: Reply, seconds: float) -> None:
    REPLY_SECONDS.labels(transport.value, reply.kind.name).observe(seconds)


def _reply(done: "Future[ProvisionOutcome]", codec: Codec, origin: Origin) -> Reply:
    if isinstance(done.exception(), Unavailable):
        return unavailable(codec, origin.request_id)
    outcome = done.result()
    log.log(
        logging.DEBUG if outcome.status == ProvisionStatus.SUCCESS or outcome.reason in COUNTED else logging.INFO,
        "%s request %s: %s (%s)",
        origin.transport.label,
        origin.request_id,
        outcome.status,
        outcome.reason,
        extra={"request_id": origin.request_id, "transport": origin.transport.value},
    )
    return Reply(_kind(outcome), codec.encode(outcome), codec, origin.request_id, retry_after_s=outcome.retry_after_s)


def _kind(outcome: ProvisionOutcome) -> ReplyKind:
    if outcome.reason == Reason.TOO_MANY_GUESSES:
        return ReplyKind.LIMITED
    return ReplyKind.SUCCESS if outcome.status == ProvisionStatus.SUCCESS else ReplyKind.REFUSED
