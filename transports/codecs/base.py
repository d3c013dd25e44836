"""What every codec does, and how it fails."""

from typing import Protocol

from core.text import has_control_characters
from provisioning.choices import ProvisionStatus, Reason
from provisioning.messages import Origin, ProvisionOutcome, ProvisionRequest

MIN_IDEMPOTENCY_KEY = 16
MAX_IDEMPOTENCY_KEY = 128

# docs/protocol.md, *Response*: the device gets no more detail than this.
STATUS_TEXTS = {
    ProvisionStatus.NOT_FOUND: "Provision data was not found!",
    ProvisionStatus.FAILURE: "Failed to provision device!",
}


class Codec(Protocol):
    """One format of the wire."""

    content_type: str
    coap_content_format: int

    def decode(self, body: bytes, origin: Origin, idempotency_key: str | None) -> ProvisionRequest:
        """Return the request in `body`. Raises NotThisFormat or MalformedRequest."""

    def encode(self, outcome: ProvisionOutcome, room: int | None = None) -> bytes:
        """Return the answer to a device whose request had `outcome`.

        Where the transport asks for short replies, `room` is how many bytes it should have. What a device cannot do
        without stays even if it takes more (docs/protocol.md, *Response*, Size).
        """

    def encode_error(self, text: str) -> bytes:
        """Return the answer FAILURE to a request that did not reach the core; `text` says why where the format has room."""


class NotThisFormat(Exception):
    """The bytes are not of this codec's format at all."""


class MalformedRequest(Exception):
    """A request that cannot be read. Its text goes to the device, and so holds nothing of what the device sent."""

    def __init__(self, text: str, codec: Codec) -> None:
        super().__init__(text)
        self.codec = codec


class RequestTooLarge(MalformedRequest):
    """A request of more than MAX_REQUEST_BYTES."""


def failure_text(outcome: ProvisionOutcome) -> str:
    """Return the text of a failure for the device."""
    if outcome.reason == Reason.TOO_MANY_GUESSES:
        return "Too many requests with a wrong key or secret. Try again later."
    return STATUS_TEXTS[outcome.status]


def merged_idempotency_key(in_body: str | None, from_transport: str | None, codec: Codec) -> str | None:
    """Return the idempotency key of a request, from either place (docs/protocol.md, *Retries*). Raises MalformedRequest."""
    if in_body is not None and from_transport is not None and in_body != from_transport:
        raise MalformedRequest("idempotencyKey and the header Idempotency-Key differ.", codec)
    key = from_transport if in_body is None else in_body
    if key is not None and (not MIN_IDEMPOTENCY_KEY <= len(key) <= MAX_IDEMPOTENCY_KEY or has_control_characters(key)):
        text = f"The idempotency key needs {MIN_IDEMPOTENCY_KEY} to {MAX_IDEMPOTENCY_KEY} characters, without control characters."
        raise MalformedRequest(text, codec)
    return key
