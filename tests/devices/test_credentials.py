"""Which credentials are valid, and their lookup ids."""

import base64
import hashlib
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devices.credentials import (
    AccessToken,
    InvalidCredentials,
    MqttBasic,
    X509Certificate,
    certificate_body,
    certificate_id,
    from_stored,
    generated_token,
    mqtt_basic_id,
    normalized,
    username_id,
)
from tests.support.provisioning import certificate, certificate_text

PEM, DER = certificate()
BODY = certificate_text()


def lines(text, width=64, end="\n"):
    return end.join(text[start : start + width] for start in range(0, len(text), width)) + end


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", ""),
        f"\ufeffsubject=CN sensor-1\n{PEM}",
        PEM + certificate("issuer")[0],
        BODY,
        lines(BODY),
        lines(BODY, 76, "\r\n"),
        f"  {BODY}\n",
    ],
)
def test_certificate_in_any_form_is_its_base64_body(text):
    assert certificate_body(text) == BODY == base64.b64encode(DER).decode()


def stray_bits():
    """A certificate whose base64 ends in one or two =, with a stray bit in its last digit."""
    for number in range(50):
        text = certificate_text(f"stray-{'x' * (number % 3)}{number}")
        if text.endswith("="):
            digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            stem = text.rstrip("=")
            return stem[:-1] + digits[digits.index(stem[-1]) + 1] + text[len(stem) :]
    raise AssertionError


def unknown_version():
    """The certificate with version 5, which RFC 5280 does not know."""
    return base64.b64encode(DER.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x04", 1)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "",
        "=",
        "-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----",
        PEM.replace("-----END", "-----FIN"),
        BODY.rstrip("=") + "A",
        BODY.rstrip("=") + "===",
        BODY + "=",
        BODY[:-8],
        BODY[: len(BODY) // 8 * 4],
        base64.b64encode(DER + b"\0").decode(),
        base64.b64encode(b"\x30\x82\x00\x00" * 100).decode(),
        BODY.replace(BODY[10], "é"),
        "A" * 20_000,
        PEM * 40,
        "\ud800",
        "\0",
        x509.load_der_x509_certificate(DER).public_bytes(Encoding.DER).decode("latin-1"),
        unknown_version(),
        stray_bits(),
    ],
)
def test_what_is_no_certificate_is_refused_without_an_echo(text):
    with pytest.raises(InvalidCredentials) as caught:
        normalized(X509Certificate(text))
    assert BODY[:20] not in str(caught.value)


def test_certificate_id_is_sha3_of_the_body():
    expected = hashlib.sha3_256(BODY.encode()).hexdigest()

    assert X509Certificate(BODY).credentials_id == certificate_id(DER) == expected


@pytest.mark.parametrize(
    ("credentials", "fits"),
    [
        (AccessToken("1234567"), False),
        (AccessToken("12345678"), True),
        (MqttBasic("", "1234567", ""), False),
        (MqttBasic("1234567", "", ""), False),
        (MqttBasic("1234567", "1234567", ""), False),
        (MqttBasic("12345678", "1", ""), True),
        (MqttBasic("", "12345678", ""), True),
        (MqttBasic("1", "1", "1"), True),
    ],
)
def test_what_opens_a_device_by_itself_has_the_length_that_the_profile_demands_of_a_token(credentials, fits):
    if fits:
        assert normalized(credentials, min_token_length=8) == credentials
    else:
        with pytest.raises(InvalidCredentials, match="8"):
            normalized(credentials, min_token_length=8)
    assert normalized(credentials) == credentials


def test_ids_are_64_hex_digits_and_apart():
    ids = [
        AccessToken("name").credentials_id,
        MqttBasic("name", "", "").credentials_id,
        MqttBasic("name", "name", "").credentials_id,
        MqttBasic("na", "mename", "").credentials_id,
        MqttBasic("nam", "ename", "").credentials_id,
        X509Certificate("name").credentials_id,
    ]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in ids)


def test_user_name_alone_shares_the_id_of_a_token():
    """Both are found by the user name of a CONNECT, and so must not belong to two devices."""
    assert username_id("name") == mqtt_basic_id(client_id="", username="name") == AccessToken("name").credentials_id


@pytest.mark.parametrize("credentials", [AccessToken("t"), MqttBasic('c"', "", "p\\"), X509Certificate(BODY)])
def test_stored_value_comes_back(credentials):
    assert from_stored(credentials.type.value, credentials.stored_value) == credentials


def test_generated_token_is_20_alphanumeric_characters_and_new():
    tokens = {generated_token().token for _ in range(100)}

    assert len(tokens) == 100
    assert all(re.fullmatch("[A-Za-z0-9]{20}", token) for token in tokens)


@pytest.mark.parametrize(
    "credentials", [AccessToken("s3cret"), MqttBasic("s3cret", "s3cret", "s3cret"), X509Certificate("s3cret")]
)
def test_repr_shows_no_secret(credentials):
    assert "s3cret" not in repr(credentials) + str(credentials)


@pytest.mark.parametrize(
    "credentials", [AccessToken("x" * 255), MqttBasic("x" * 255, "y" * 255, "provision"), AccessToken("a b/ü🚀")]
)
def test_usable_credentials_are_taken_as_they_are(credentials):
    assert normalized(credentials) == credentials


@pytest.mark.parametrize(
    "credentials",
    [AccessToken(""), AccessToken("x" * 256), AccessToken("provision"), MqttBasic("", "", ""), MqttBasic("a\0", "b", "c")],
)
def test_other_credentials_are_refused_without_an_echo(credentials):
    with pytest.raises(InvalidCredentials) as caught:
        normalized(credentials)
    assert "xxx" not in str(caught.value)
