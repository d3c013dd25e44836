"""The JSON form of requests and answers (protocol.md, *Request* and *Response*)."""

import json
from typing import Any

from core.json_values import no_constant
from devices.choices import CredentialsType
from devices.credentials import AccessToken, Credentials, MqttBasic, X509Certificate
from provisioning.choices import ProvisionStatus
from provisioning.messages import Origin, ProvisionOutcome, ProvisionRequest
from transports.codecs.base import MalformedRequest, NotThisFormat, failure_text, merged_idempotency_key

LWM2M = "LWM2M_CREDENTIALS"


class _NumberText(str):
    """A JSON number as it was written: where a string is expected its text counts, 1.50 and all."""

    __slots__ = ()


class JsonCodec:
    """One JSON object each way."""

    content_type = "application/json"
    coap_content_format = 50

    def decode(self, body: bytes, origin: Origin, idempotency_key: str | None) -> ProvisionRequest:
        """Return the request in `body`. Raises NotThisFormat when it is not JSON, MalformedRequest when it is not a request."""
        document = parse_json(body)
        if not isinstance(document, dict):
            raise MalformedRequest("The body must be a JSON object.", self)
        fields = _Fields(document, self)
        credentials_type = fields.credentials_type()
        return ProvisionRequest(
            origin=origin,
            key=fields.required_text("provisionDeviceKey"),
            secret=fields.required_text("provisionDeviceSecret"),
            device_name=fields.text("deviceName"),
            credentials=fields.credentials(credentials_type),
            lwm2m=credentials_type == LWM2M,
            gateway=fields.flag("gateway"),
            idempotency_key=merged_idempotency_key(fields.text("idempotencyKey"), idempotency_key, self),
        )

    def encode(self, outcome: ProvisionOutcome) -> bytes:
        """Return the answer as JSON text."""
        if outcome.status != ProvisionStatus.SUCCESS or outcome.credentials is None:
            return _failure(outcome.status, failure_text(outcome))
        answer: dict[str, Any] = {
            "status": outcome.status.value,
            "provisionDeviceStatus": outcome.status.value,
            "deviceId": str(outcome.device_id),
            "deviceName": outcome.device_name,
            "credentialsType": outcome.credentials.type.value,
        }
        return json.dumps(answer | _credentials_fields(outcome.credentials)).encode()

    def encode_error(self, text: str) -> bytes:
        """Return FAILURE with `text` as JSON text."""
        return _failure(ProvisionStatus.FAILURE, text)


_DECODER = json.JSONDecoder(parse_int=_NumberText, parse_float=_NumberText, parse_constant=no_constant)


def parse_json(body: bytes) -> Any:
    """Return the JSON document in `body`, numbers as their text. Raises NotThisFormat."""
    try:
        text = body.decode("utf-8-sig")
        return _DECODER.decode(text)
    except UnicodeDecodeError:
        raise NotThisFormat("The body is neither UTF-8 text nor a ProvisionDeviceRequestMsg.") from None
    except json.JSONDecodeError as err:
        raise NotThisFormat(f"The body is not valid JSON: {err.msg} at line {err.lineno}, column {err.colno}.") from None
    except ValueError as err:
        raise NotThisFormat(f"The body is not valid JSON: {err}") from None
    except RecursionError:
        raise NotThisFormat("The body is nested too deeply.") from None


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
            return None if value is None else str(value)
        raise self._malformed(f"{name} must be a string.")

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise self._malformed(f"{name} is missing.")
        return value

    def flag(self, name: str) -> bool:
        value = self._document.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self._malformed(f"{name} must be true or false.")

    def credentials_type(self) -> str:
        value = self._document.get("credentialsType")
        if value is None:
            return CredentialsType.ACCESS_TOKEN
        known = (*CredentialsType.values, LWM2M)
        if not isinstance(value, str) or isinstance(value, _NumberText) or value not in known:
            raise self._malformed(f"credentialsType must be one of {', '.join(known)}.")
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


def _credentials_fields(credentials: Credentials) -> dict[str, Any]:
    fields: dict[str, Any] = {"credentialsValue": credentials_value(credentials)}
    if isinstance(credentials, AccessToken):
        fields["accessToken"] = credentials.token
    if isinstance(credentials, X509Certificate):
        fields["credentialsId"] = credentials.credentials_id
    return fields


def _failure(status: ProvisionStatus, text: str) -> bytes:
    return json.dumps({"status": status.value, "provisionDeviceStatus": status.value, "errorMsg": text}).encode()
