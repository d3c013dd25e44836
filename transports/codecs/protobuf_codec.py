"""The Protobuf form of requests and answers (docs/protocol.md, *Protobuf*)."""

import json

from google.protobuf.message import DecodeError

from devices.choices import CredentialsType
from devices.credentials import AccessToken, Credentials, MqttBasic, X509Certificate
from provisioning.choices import ProvisionStatus
from provisioning.messages import Origin, ProvisionOutcome, ProvisionRequest
from transports.codecs import provision_pb2 as wire
from transports.codecs.base import MalformedRequest, NotThisFormat, merged_idempotency_key
from transports.codecs.json_codec import credentials_value

_STATUS = {
    ProvisionStatus.SUCCESS: wire.SUCCESS,
    ProvisionStatus.NOT_FOUND: wire.NOT_FOUND,
    ProvisionStatus.FAILURE: wire.FAILURE,
}
_TYPE = {
    CredentialsType.ACCESS_TOKEN: wire.ACCESS_TOKEN,
    CredentialsType.MQTT_BASIC: wire.MQTT_BASIC,
    CredentialsType.X509_CERTIFICATE: wire.X509_CERTIFICATE,
}


class ProtobufCodec:
    """ProvisionDeviceRequestMsg in, ProvisionDeviceResponseMsg out. In proto3 an empty string is an absent one."""

    content_type = "application/x-protobuf"
    coap_content_format = 42

    def decode(self, body: bytes, origin: Origin, idempotency_key: str | None) -> ProvisionRequest:
        """Return the request in `body`. Raises NotThisFormat or MalformedRequest.

        Many bytes parse as a message of unknown fields; one without key and secret is not taken for a request.
        """
        message = wire.ProvisionDeviceRequestMsg()
        try:
            message.ParseFromString(body)
        except DecodeError:
            raise NotThisFormat("The body is no ProvisionDeviceRequestMsg.") from None
        if not message.HasField("provisionDeviceCredentialsMsg"):
            raise NotThisFormat("The body is no ProvisionDeviceRequestMsg with a key and a secret.")
        if message.credentialsType not in wire.CredentialsType.values():
            raise MalformedRequest("credentialsType is unknown.", self)
        presented = message.provisionDeviceCredentialsMsg
        return ProvisionRequest(
            origin=origin,
            key=presented.provisionDeviceKey,
            secret=presented.provisionDeviceSecret,
            device_name=message.deviceName or None,
            credentials=_credentials(message),
            lwm2m=message.credentialsType == wire.LWM2M_CREDENTIALS,
            gateway=message.gateway,
            idempotency_key=merged_idempotency_key(message.idempotencyKey or None, idempotency_key, self),
        )

    def encode(self, outcome: ProvisionOutcome, room: int | None = None) -> bytes:
        """Return the answer as a ProvisionDeviceResponseMsg. It has nothing that could be left out."""
        answer = wire.ProvisionDeviceResponseMsg(status=_STATUS[outcome.status])
        if outcome.credentials is not None:
            value = credentials_value(outcome.credentials)
            answer.credentialsType = _TYPE[outcome.credentials.type]
            answer.credentialsValue = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            )
        return answer.SerializeToString()

    def encode_error(self, text: str) -> bytes:
        """Return FAILURE; the message has no room for `text`."""
        return wire.ProvisionDeviceResponseMsg(status=wire.FAILURE).SerializeToString()


def _credentials(message: wire.ProvisionDeviceRequestMsg) -> Credentials | None:
    data = message.credentialsDataProto
    if message.credentialsType == wire.ACCESS_TOKEN and data.validateDeviceTokenRequestMsg.token:
        return AccessToken(data.validateDeviceTokenRequestMsg.token)
    if message.credentialsType == wire.X509_CERTIFICATE and data.validateDeviceX509CertRequestMsg.hash:
        return X509Certificate(data.validateDeviceX509CertRequestMsg.hash)
    basic = data.validateBasicMqttCredRequestMsg
    if message.credentialsType == wire.MQTT_BASIC and (basic.clientId or basic.userName or basic.password):
        return MqttBasic(basic.clientId, basic.userName, basic.password)
    return None
