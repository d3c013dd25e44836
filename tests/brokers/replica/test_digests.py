"""The digests of the contract with the plugin: deploy/mosquitto/plugin/tests/unit_tests.c has the same values."""

import uuid

import pytest

from brokers.replica.digests import DigestKey
from devices.credentials import AccessToken, MqttBasic, X509Certificate
from tests.support.broker_feed import FeedDevice

KEY = DigestKey.of("a-secret-of-the-tests")
DEVICE = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
PASSWORD = "85fd168ef9b43cfdd99db36ec0b5cc5f"


@pytest.mark.parametrize(
    ("credentials", "lookup", "password"),
    [
        (AccessToken("token-1"), "5e132a38c305d3925d642e6a8d7ada36", ""),
        (MqttBasic("client-1", "", "password-1"), "cb59c3e38c6616c28cb9dd5ff2b04daf", PASSWORD),
        (MqttBasic("client-1", "user-1", "password-1"), "92af864d09406cbc4a19e60952a8325a", PASSWORD),
        (MqttBasic("", "token-1", ""), "5e132a38c305d3925d642e6a8d7ada36", ""),
    ],
)
def test_digests_are_those_of_the_contract(credentials, lookup, password):
    digest = KEY.digest_of(DEVICE, credentials)

    assert (digest.lookup, digest.password) == (lookup, password)


def test_a_certificate_is_found_by_the_digest_of_its_id():
    assert KEY.digest_of(DEVICE, X509Certificate("QUJD")).lookup == FeedDevice("x", certificate="QUJD").lookup


def test_another_secret_makes_other_digests():
    other = DigestKey.of("another-secret-of-the-tests")

    assert other.digest_of(DEVICE, AccessToken("token-1")) != KEY.digest_of(DEVICE, AccessToken("token-1"))
    assert other.mark != KEY.mark
    assert "secret" not in repr(other)
