"""The Protobuf form of requests and answers (docs/protocol.md, *Protobuf*)."""

import json
import uuid

import pytest

from devices.credentials import AccessToken, MqttBasic, X509Certificate
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.messages import Origin, ProvisionOutcome
from transports.codecs import JSON, PROTOBUF, MalformedRequest, decode
from transports.codecs import provision_pb2 as wire

ORIGIN = Origin(Transport.COAP, "192.0.2.1", "abc")


def message(**fields):
    made = wire.ProvisionDeviceRequestMsg(**fields)
    made.provisionDeviceCredentialsMsg.provisionDeviceKey = "the-provision-key"
    made.provisionDeviceCredentialsMsg.provisionDeviceSecret = "the-provision-secret"
    return made


def read(made, **more):
    request, codec = decode(made.SerializeToString(), ORIGIN, **more)
    assert codec is PROTOBUF
    return request


def test_bytes_of_the_guide_are_read():
    """Written by hand from the field numbers, so that the schema itself is tested."""
    body = (
        b"\x0a\x01a" + b"\x10\x02" + b"\x1a\x06\x0a\x01k\x12\x01s" + b"\x22\x0b\x1a\x09\x0a\x01c\x12\x01u\x1a\x01p" + b"\x28\x01"
    )

    request, codec = decode(body, ORIGIN)

    assert codec is PROTOBUF
    assert (request.key, request.secret, request.device_name, request.gateway) == ("k", "s", "a", True)
    assert request.credentials == MqttBasic("c", "u", "p")


def test_empty_text_is_absent():
    request = read(message())

    assert (request.device_name, request.credentials, request.idempotency_key, request.gateway) == (None, None, None, False)


@pytest.mark.parametrize(
    ("type_", "data", "credentials"),
    [
        (wire.ACCESS_TOKEN, {"validateDeviceTokenRequestMsg": {"token": "t"}}, AccessToken("t")),
        (wire.X509_CERTIFICATE, {"validateDeviceX509CertRequestMsg": {"hash": "h"}}, X509Certificate("h")),
        (wire.MQTT_BASIC, {"validateBasicMqttCredRequestMsg": {"userName": "u"}}, MqttBasic("", "u", "")),
        (wire.MQTT_BASIC, {"validateDeviceTokenRequestMsg": {"token": "t"}}, None),
        (wire.ACCESS_TOKEN, {"validateDeviceX509CertRequestMsg": {"hash": "h"}}, None),
        (wire.LWM2M_CREDENTIALS, {"validateDeviceTokenRequestMsg": {"token": "t"}}, None),
    ],
)
def test_credentials_are_those_of_their_type(type_, data, credentials):
    request = read(message(credentialsType=type_, credentialsDataProto=wire.CredentialsDataProto(**data)))

    assert request.credentials == credentials
    assert request.lwm2m == (type_ == wire.LWM2M_CREDENTIALS)


def test_idempotency_key_comes_from_field_or_transport():
    key = "0123456789abcdef"

    assert read(message(idempotencyKey=key)).idempotency_key == key
    assert read(message(), idempotency_key=key).idempotency_key == key
    with pytest.raises(MalformedRequest, match="differ"):
        read(message(idempotencyKey=key), idempotency_key=key[::-1])
    with pytest.raises(MalformedRequest, match="16 to 128"):
        read(message(idempotencyKey="short"))


def test_unknown_credentials_type_is_malformed_in_its_own_format():
    with pytest.raises(MalformedRequest) as caught:
        decode(message(credentialsType=9).SerializeToString(), ORIGIN)
    assert caught.value.codec is PROTOBUF


@pytest.mark.parametrize(
    "body",
    [
        message(deviceName="a").SerializeToString()[:-4],
        wire.ProvisionDeviceRequestMsg(deviceName="no credentials").SerializeToString(),
        b"\x1a\x06\x0a\x01\xff\x12\x01s",
        b"\xff" * 50,
    ],
)
def test_neither_json_nor_such_a_message_is_malformed(body):
    with pytest.raises(MalformedRequest) as caught:
        decode(body, ORIGIN)
    assert caught.value.codec is JSON


def answer(credentials, status=ProvisionStatus.SUCCESS):
    outcome = ProvisionOutcome(status, Reason.CREATED, device_id=uuid.uuid4(), device_name="a", credentials=credentials)
    return wire.ProvisionDeviceResponseMsg.FromString(PROTOBUF.encode(outcome))


@pytest.mark.parametrize(
    ("credentials", "type_", "value"),
    [
        (AccessToken("t"), wire.ACCESS_TOKEN, "t"),
        (X509Certificate("body"), wire.X509_CERTIFICATE, "body"),
        (MqttBasic("c", "", "p"), wire.MQTT_BASIC, {"clientId": "c", "userName": "", "password": "p"}),
    ],
)
def test_success_has_credentials(credentials, type_, value):
    result = answer(credentials)

    assert (result.status, result.credentialsType) == (wire.SUCCESS, type_)
    assert (json.loads(result.credentialsValue) if type_ == wire.MQTT_BASIC else result.credentialsValue) == value


@pytest.mark.parametrize(
    ("status", "number"), [(ProvisionStatus.NOT_FOUND, wire.NOT_FOUND), (ProvisionStatus.FAILURE, wire.FAILURE)]
)
def test_failure_has_only_a_status(status, number):
    assert answer(None, status) == wire.ProvisionDeviceResponseMsg(status=number)
    assert wire.ProvisionDeviceResponseMsg.FromString(PROTOBUF.encode_error("No.")).status == wire.FAILURE
