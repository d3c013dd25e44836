"""The JSON form of requests and answers, field by field (docs/protocol.md, *Request* and *Response*)."""

import hashlib
import json
import uuid

import pytest

from devices.credentials import AccessToken, MqttBasic, X509Certificate
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.messages import Origin, ProvisionOutcome
from tests.support.provisioning import certificate_text
from transports.codecs import JSON, MalformedRequest, RequestTooLarge, decode

ORIGIN = Origin(Transport.HTTP, "192.0.2.1", "abc")
PAIR = {"provisionDeviceKey": "the-provision-key", "provisionDeviceSecret": "the-provision-secret"}
DEVICE_ID = uuid.UUID("3b829220-232f-11eb-9d5c-e9ed3235dff8")


def read(fields=None, *, header=None, **more):
    request, codec = decode(json.dumps(PAIR | (fields or {}) | more).encode(), ORIGIN, idempotency_key=header)
    assert codec is JSON
    return request


def refusal(body, **more):
    with pytest.raises(MalformedRequest) as caught:
        decode(body if isinstance(body, bytes) else json.dumps(body).encode(), ORIGIN, **more)
    assert caught.value.codec is JSON
    return str(caught.value)


def answer(**fields):
    return json.loads(JSON.encode(ProvisionOutcome(**fields)))


def success(credentials):
    return answer(
        status=ProvisionStatus.SUCCESS, reason=Reason.CREATED, device_id=DEVICE_ID, device_name="a", credentials=credentials
    )


# --- Requests -------------------------------------------------------------------------------------


def test_key_and_secret_alone_make_a_request():
    request = read()

    assert (request.key, request.secret, request.origin) == ("the-provision-key", "the-provision-secret", ORIGIN)
    assert (request.device_name, request.credentials, request.idempotency_key) == (None, None, None)
    assert (request.gateway, request.lwm2m) == (False, False)


def test_unknown_fields_are_ignored():
    assert read(colour="red", nested={"a": [1]}) == read()


def test_null_is_absent():
    fields = ("deviceName", "credentialsType", "token", "clientId", "username", "password", "hash", "gateway", "idempotencyKey")

    assert read(dict.fromkeys(fields)) == read()


def test_number_counts_as_its_text():
    body = b'{"provisionDeviceKey": 1.50, "provisionDeviceSecret": -1E+5, "deviceName": 12345678901234567890123, "token": 0}'

    request, _ = decode(body, ORIGIN)

    assert (request.key, request.secret, request.device_name) == ("1.50", "-1E+5", "12345678901234567890123")
    assert request.credentials == AccessToken("0")
    assert type(request.key) is str


def test_empty_device_name_is_absent_and_a_blank_one_is_not():
    assert read(deviceName="").device_name is None
    assert read(deviceName="  ").device_name == "  "


def test_json_is_read_leniently():
    body = b"""{provisionDeviceKey: the-provision-key; 'provisionDeviceSecret' = 'the-provision-secret', # a comment
        deviceName: 007, token: NaN, gateway: TRUE}"""

    request, codec = decode(body, ORIGIN)

    assert codec is JSON
    assert request == read(deviceName="007", token="NaN", gateway=True)


def test_of_a_repeated_key_the_last_counts():
    body = json.dumps(PAIR)[:-1] + ', "deviceName": "a", "deviceName": "b"}'

    assert decode(body.encode(), ORIGIN)[0] == read(deviceName="b")


def test_byte_order_mark_is_skipped():
    assert decode(b"\xef\xbb\xbf" + json.dumps(PAIR).encode(), ORIGIN)[0] == read()


@pytest.mark.parametrize(
    ("fields", "credentials"),
    [
        ({"token": "t"}, AccessToken("t")),
        ({"credentialsType": "ACCESS_TOKEN", "token": "t"}, AccessToken("t")),
        ({"credentialsType": "ACCESS_TOKEN", "token": ""}, None),
        ({"credentialsType": "ACCESS_TOKEN", "hash": "h", "username": "u"}, None),
        ({"credentialsType": "MQTT_BASIC"}, None),
        ({"credentialsType": "MQTT_BASIC", "token": "t"}, None),
        ({"credentialsType": "MQTT_BASIC", "username": "u"}, MqttBasic("", "u", "")),
        ({"credentialsType": "MQTT_BASIC", "userName": "u"}, None),
        ({"credentialsType": "MQTT_BASIC", "clientId": "c", "username": "u", "password": "p"}, MqttBasic("c", "u", "p")),
        ({"credentialsType": "X509_CERTIFICATE"}, None),
        ({"credentialsType": "X509_CERTIFICATE", "hash": "h"}, X509Certificate("h")),
        ({"credentialsType": "LWM2M_CREDENTIALS", "token": "t"}, None),
    ],
)
def test_credentials_are_those_of_their_type(fields, credentials):
    assert read(fields).credentials == credentials


def test_lwm2m_is_known():
    assert read(credentialsType="LWM2M_CREDENTIALS").lwm2m


def test_empty_key_reaches_the_core():
    assert read(provisionDeviceKey="").key == ""


@pytest.mark.parametrize("field", PAIR)
def test_missing_or_null_key_or_secret_is_malformed(field):
    assert refusal({**PAIR, field: None}) == f"{field} is missing."
    assert refusal({name: value for name, value in PAIR.items() if name != field}) == f"{field} is missing."


@pytest.mark.parametrize("field", [*PAIR, "deviceName", "token", "clientId", "username", "password", "hash", "idempotencyKey"])
@pytest.mark.parametrize("value", [True, [], {}, ["a"], {"a": "b"}])
def test_wrong_type_is_malformed(field, value):
    assert refusal({**PAIR, field: value}) == f"{field} must be a string."


@pytest.mark.parametrize("value", [True, "true", "TRUE"])
def test_gateway_is_true_as_boolean_or_word(value):
    assert read(gateway=value).gateway is True


@pytest.mark.parametrize("value", [False, "false", "False", "yes", "1", "", 0, 1, 1.0])
def test_gateway_of_any_other_text_or_number_is_false(value):
    assert read(gateway=value).gateway is False


@pytest.mark.parametrize("value", [[], {}, ["true"]])
def test_gateway_of_another_type_is_malformed(value):
    assert refusal({**PAIR, "gateway": value}) == "gateway must be true or false."


@pytest.mark.parametrize("value", ["access_token", "", "TOKEN", 0, 1, True, [], {}])
def test_unknown_credentials_type_is_malformed(value):
    assert "must be one of ACCESS_TOKEN, MQTT_BASIC" in refusal({**PAIR, "credentialsType": value})


@pytest.mark.parametrize("document", [b"[]", b"12", b'"text"', b"null", b"true", b"[{}]"])
def test_document_that_is_no_object_is_malformed(document):
    assert refusal(document) == "The body must be a JSON object."


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b'{"a": 1',
        json.dumps(PAIR).encode()[:-1] + b",}",
        json.dumps(PAIR).encode() + b"\0",
        json.dumps(PAIR).encode() + b" // a comment",
        json.dumps([PAIR]).encode(),
        b'\xff\xfe{"a": 1}',
        b"[" * 60_000,
        b'{"a":' * 12_000,
        "{}".encode("utf-16"),
        b"\x00" * 100,
    ],
)
def test_what_is_no_json_is_malformed(body):
    assert refusal(body)


@pytest.mark.parametrize("body", [b"", b"  \r\n\t "])
def test_empty_body_is_malformed(body):
    assert "empty" in refusal(body)


def test_body_over_64_kib_is_too_large():
    padded = json.dumps(PAIR).encode().ljust(64 * 1024)

    assert decode(padded, ORIGIN)[0] == read()
    with pytest.raises(RequestTooLarge):
        decode(padded + b" ", ORIGIN)


def test_error_does_not_echo_the_request():
    secret = "do-not-show-me-anywhere"
    for body in (
        f'{{"provisionDeviceSecret": "{secret}", }}'.encode(),
        json.dumps(PAIR | {"provisionDeviceSecret": [secret]}).encode(),
        json.dumps(PAIR | {"credentialsType": secret}).encode(),
        json.dumps(PAIR | {"gateway": [secret]}).encode(),
        json.dumps(PAIR | {"idempotencyKey": secret[:5]}).encode(),
        secret.encode(),
    ):
        assert secret[:5] not in refusal(body)


def test_idempotency_key_comes_from_field_or_header():
    key = "0123456789abcdef"

    assert read(idempotencyKey=key).idempotency_key == key
    assert read(header=key).idempotency_key == key
    assert read(header=key, idempotencyKey=key).idempotency_key == key
    assert "differ" in refusal({**PAIR, "idempotencyKey": key}, idempotency_key=key[::-1])


@pytest.mark.parametrize("length", [16, 128])
def test_idempotency_key_of_16_to_128_characters_is_taken(length):
    assert read(idempotencyKey="k" * length).idempotency_key == "k" * length


@pytest.mark.parametrize("key", ["", "k" * 15, "k" * 129, "k" * 20 + "\n", "k" * 20 + "\ud800"])
def test_other_idempotency_key_is_malformed(key):
    assert "16 to 128" in refusal({**PAIR, "idempotencyKey": key})
    assert "16 to 128" in refusal(PAIR, idempotency_key=key)


# --- Answers --------------------------------------------------------------------------------------


def test_token_is_sent_under_both_names():
    assert success(AccessToken("sLzc0gDAZPkGMzFVTyUY")) == {
        "status": "SUCCESS",
        "provisionDeviceStatus": "SUCCESS",
        "deviceId": str(DEVICE_ID),
        "deviceName": "a",
        "credentialsType": "ACCESS_TOKEN",
        "credentialsValue": "sLzc0gDAZPkGMzFVTyUY",
        "accessToken": "sLzc0gDAZPkGMzFVTyUY",
    }


def success_bytes(credentials, room=None, name="DHT11-0001"):
    outcome = ProvisionOutcome(
        ProvisionStatus.SUCCESS, Reason.CREATED, device_id=DEVICE_ID, device_name=name, credentials=credentials
    )
    return JSON.encode(outcome, room)


def test_answer_has_no_blanks_and_the_fields_that_devices_need_most_come_first():
    assert success_bytes(AccessToken("sLzc0gDAZPkGMzFVTyUY")) == (
        b'{"status":"SUCCESS","credentialsType":"ACCESS_TOKEN","credentialsValue":"sLzc0gDAZPkGMzFVTyUY",'
        b'"deviceId":"3b829220-232f-11eb-9d5c-e9ed3235dff8","provisionDeviceStatus":"SUCCESS",'
        b'"accessToken":"sLzc0gDAZPkGMzFVTyUY","deviceName":"DHT11-0001"}'
    )


@pytest.mark.parametrize(
    "credentials",
    [
        AccessToken("sLzc0gDAZPkGMzFVTyUY"),
        AccessToken('quoted " \\ é 😀'),
        MqttBasic("c", "ü", "p"),
        X509Certificate("MIIB" * 100),
    ],
)
@pytest.mark.parametrize("name", ["DHT11-0001", 'Küche "1"'])
def test_short_answer_leaves_out_fields_from_the_end(credentials, name):
    whole = list(json.loads(success_bytes(credentials, name=name)).items())
    lengths = {}
    for room in reversed(range(1200)):
        body = success_bytes(credentials, room, name)
        fields = list(json.loads(body).items())
        lengths[len(fields)] = len(body)
        assert fields == whole[: max(3, len(fields))]
        assert len(body) <= room or len(fields) == 3
        # One field more would not have fitted.
        assert all(room < length for count, length in lengths.items() if count > len(fields))

    most = 8 - 3 if isinstance(credentials, MqttBasic) else 8
    assert max(lengths) == min(len(whole), most)


def test_mqtt_basic_is_sent_as_object_with_camel_case_user_name():
    result = success(MqttBasic("c", "", "p"))

    assert result["credentialsValue"] == {"clientId": "c", "userName": "", "password": "p"}
    assert result["credentialsType"] == "MQTT_BASIC"
    assert not {"accessToken", "credentialsId"} & result.keys()


def test_certificate_is_sent_with_its_sha3_id():
    body = certificate_text()
    result = success(X509Certificate(body))

    assert result["credentialsValue"] == body
    assert result["credentialsId"] == hashlib.sha3_256(body.encode()).hexdigest()
    assert "accessToken" not in result


@pytest.mark.parametrize(
    ("status", "text"),
    [(ProvisionStatus.NOT_FOUND, "Provision data was not found!"), (ProvisionStatus.FAILURE, "Failed to provision device!")],
)
def test_failure_has_status_and_fixed_text_and_nothing_else(status, text):
    result = answer(status=status, reason=Reason.SECRET_WRONG, detail="for the operator only")

    assert result == {"status": status.value, "provisionDeviceStatus": status.value, "errorMsg": text}


def test_limited_source_gets_a_wait():
    result = answer(status=ProvisionStatus.FAILURE, reason=Reason.TOO_MANY_GUESSES)

    assert result["errorMsg"] == "Too many requests with a wrong key or secret. Try again later."


def test_error_is_sent_as_failure():
    assert json.loads(JSON.encode_error("No.")) == {"status": "FAILURE", "provisionDeviceStatus": "FAILURE", "errorMsg": "No."}
