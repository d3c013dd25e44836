"""The JSON form of requests and answers (docs/protocol.md, *Request* and *Response*)."""

import json
from typing import Any

from core.lenient_json import InvalidJson, LenientDecoder
from devices.choices import CredentialsType
from devices.credentials import AccessToken, Credentials, MqttBasic, X509Certificate
from provisioning.choices import ProvisionStatus
from provisioning.messages import Origin, ProvisionOutcome, ProvisionRequest
from transports.codecs.base import MalformedRequest, NotThisFormat, failure_text, merged_idempotency_key

LWM2M = "LWM2M_CREDENTIALS"
# `values` of an enumeration makes a list each time.
_CREDENTIALS_TYPES = (*CredentialsType.values, LWM2M)

# docs/protocol.md, *Response*, Size: what firmware with small buffers needs and can take.
ESSENTIAL_FIELDS = 3
MAX_FIELDS = 8

# A number as it was written: where a string is expected its text counts, 1.50 and all.
_DECODER = LenientDecoder(number=str)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class JsonCodec:
    """One JSON object each way."""

    content_type = "application/json"
    coap_content_format = 50

    def decode(self, body: bytes, origin: Origin, idempotency_key: str | None) -> ProvisionRequest:
        """Return the request in `body`. Raises NotThisFormat when it is not JSON, MalformedRequest when it is not a request."""
        document = parse_json(body)
        if not isinstance(document, dict):
            # Read leniently, bytes of Protobuf may be a bare word.
            raise NotThisFormat("The body must be a JSON object.")
        fields = _Fields(document, self)
        credentials_type = fields.credentials_type()
        return ProvisionRequest(
            origin=origin,
            key=fields.required_text("provisionDeviceKey"),
            secret=fields.required_text("provisionDeviceSecret"),
            device_name=fields.text("deviceName") or None,
            credentials=fields.credentials(credentials_type),
            lwm2m=credentials_type == LWM2M,
            gateway=fields.flag("gateway"),
            idempotency_key=merged_idempotency_key(fields.text("idempotencyKey"), idempotency_key, self),
        )

    def encode(self, outcome: ProvisionOutcome, room: int | None = None) -> bytes:
        """Return the answer as JSON text, its fields in the order in which devices need them."""
        credentials = outcome.credentials
        if outcome.status != ProvisionStatus.SUCCESS or credentials is None:
            return _failure(outcome.status, failure_text(outcome))
        members = [
            '"status":"SUCCESS"',
            f'"credentialsType":"{credentials.type.value}"',
            f'"credentialsValue":{_encode(credentials_value(credentials))}',
            f'"deviceId":"{outcome.device_id}"',
            '"provisionDeviceStatus":"SUCCESS"',
        ]
        if isinstance(credentials, AccessToken):
            members.append(f'"accessToken":{_encode(credentials.token)}')
        members.append(f'"deviceName":{_encode(outcome.device_name)}')
        if isinstance(credentials, X509Certificate):
            members.append(f'"credentialsId":"{credentials.credentials_id}"')
        if room is not None:
            # The parts of credentialsValue count as fields too.
            _shorten(members, room, MAX_FIELDS - 3 if isinstance(credentials, MqttBasic) else MAX_FIELDS)
        return f"{{{','.join(members)}}}".encode()

    def encode_error(self, text: str) -> bytes:
        """Return FAILURE with `text` as JSON text."""
        return _failure(ProvisionStatus.FAILURE, text)


def parse_json(body: bytes) -> Any:
    """Return the JSON document in `body`, numbers as their text. Raises NotThisFormat."""
    try:
        return _DECODER.decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NotThisFormat("The body is neither UTF-8 text nor a ProvisionDeviceRequestMsg.") from None
    except InvalidJson as err:
        raise NotThisFormat(f"The body is not valid JSON: {err}") from None


def credentials_value(credentials: Credentials) -> str | dict[str, str]:
    """Return `credentialsValue` of an answer: text, for MQTT_BASIC an object."""
    match credentials:
        case AccessToken(token):
            return token
        case MqttBasic(client_id, username, password):
            return {"clientId": client_id, "userName": username, "password": password}
        case X509Certificate(body):
            return body


class _Fields:
    """The fields of a request by their wire names, typed."""

    def __init__(self, document: dict[str, Any], codec: JsonCodec) -> None:
        self._document = document
        self._codec = codec

    def text(self, name: str) -> str | None:
        value = self._document.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self._malformed(f"{name} must be a string.")

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise self._malformed(f"{name} is missing.")
        return value

    def flag(self, name: str) -> bool:
        value = self._document.get(name)
        if isinstance(value, str):
            return value.lower() == "true"
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self._malformed(f"{name} must be true or false.")

    def credentials_type(self) -> str:
        value = self._document.get("credentialsType")
        if value is None:
            return CredentialsType.ACCESS_TOKEN
        if not isinstance(value, str) or value not in _CREDENTIALS_TYPES:
            raise self._malformed(f"credentialsType must be one of {', '.join(_CREDENTIALS_TYPES)}.")
        return value

    def credentials(self, credentials_type: str) -> Credentials | None:
        """Return the credentials that the device brought, None where it brought none of its type. An empty field is none."""
        token, certificate = self.text("token"), self.text("hash")
        client_id, username, password = self.text("clientId"), self.text("username"), self.text("password")
        match credentials_type:
            case CredentialsType.MQTT_BASIC if client_id or username or password:
                return MqttBasic(client_id or "", username or "", password or "")
            case CredentialsType.X509_CERTIFICATE if certificate:
                return X509Certificate(certificate)
            case CredentialsType.ACCESS_TOKEN if token:
                return AccessToken(token)
        return None

    def _malformed(self, text: str) -> MalformedRequest:
        return MalformedRequest(text, self._codec)


def _shorten(members: list[str], room: int, most: int) -> None:
    """Leave members out from the end, until `room` bytes hold the object of the rest and there are at most `most`."""
    size = sum(len(member.encode()) + 1 for member in members) + 1
    while len(members) > ESSENTIAL_FIELDS and (size > room or len(members) > most):
        size -= len(members.pop().encode()) + 1


def _failure(status: ProvisionStatus, text: str) -> bytes:
    return f'{{"status":"{status.value}","provisionDeviceStatus":"{status.value}","errorMsg":{_encode(text)}}}'.encode()
