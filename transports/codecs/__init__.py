"""Bytes to a ProvisionRequest and an outcome to bytes, in JSON or Protobuf. The answer has the format of the request."""

from django.conf import settings

from provisioning.messages import Origin, ProvisionRequest
from transports.codecs.base import Codec, MalformedRequest, NotThisFormat, RequestTooLarge
from transports.codecs.json_codec import JsonCodec
from transports.codecs.protobuf_codec import ProtobufCodec

__all__ = ["JSON", "PROTOBUF", "Codec", "MalformedRequest", "RequestTooLarge", "decode"]

JSON = JsonCodec()
PROTOBUF = ProtobufCodec()


def decode(body: bytes, origin: Origin, *, idempotency_key: str | None = None) -> tuple[ProvisionRequest, Codec]:
    """Return the request in `body`, and the codec that its answer needs. Raises MalformedRequest.

    The bytes are first tried as JSON, then as Protobuf (docs/protocol.md, *Protobuf*). `idempotency_key` is one that
    the transport carried outside of the body.
    """
    if len(body) > settings.MAX_REQUEST_BYTES:
        raise RequestTooLarge(f"The request has more than {settings.MAX_REQUEST_BYTES} bytes.", JSON)
    if not body.strip():
        raise MalformedRequest("The body is empty; a JSON object is needed.", JSON)
    try:
        return JSON.decode(body, origin, idempotency_key), JSON
    except NotThisFormat as not_json:
        try:
            return PROTOBUF.decode(body, origin, idempotency_key), PROTOBUF
        except NotThisFormat:
            raise MalformedRequest(str(not_json), JSON) from None
