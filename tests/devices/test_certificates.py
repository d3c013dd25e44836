"""A certificate is public: naming it keeps no owner out, a TLS connection proves whose it is (docs/protocol.md, *Connecting*)."""

import base64
import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.core.exceptions import ValidationError

from devices.authentication import AuthenticationFailed, PresentedCertificate, authenticate
from devices.credentials import AccessToken, InvalidCredentials, X509Certificate, certificate_body
from devices.models import Device, DeviceCredentials
from devices.services import device_create
from events.choices import Kind
from events.models import Event
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.messages import Origin
from provisioning.services import provision_batch
from tests.support.provisioning import ask, certificate, certificate_text, checking, creating, provision

pytestmark = pytest.mark.django_db

DER = certificate()[1]
CERTIFICATE = X509Certificate(certificate_text())
OVER_TLS = Origin(Transport.MQTT, certificate=CERTIFICATE.credentials_id)
OVER_TLS_WITH_ANOTHER = Origin(Transport.MQTT, certificate=X509Certificate(certificate_text("another")).credentials_id)


@pytest.fixture
def key():
    return creating()


def named_by(key, *names):
    """Let devices provision that name the certificate."""
    outcomes = provision_batch([ask(key, name, credentials=CERTIFICATE) for name in names])
    assert {outcome.status for outcome in outcomes} == {ProvisionStatus.SUCCESS}
    assert {outcome.credentials for outcome in outcomes} == {CERTIFICATE}


def connected(client_id=""):
    """Return the name of the device that a TLS client with the certificate is."""
    return authenticate(PresentedCertificate(DER, client_id)).name


def test_public_certificate_that_another_names_first_keeps_its_owner_out_of_nothing(key):
    named_by(key, "thief")

    named_by(key, "owner")

    with pytest.raises(AuthenticationFailed):
        connected("some-client")
    assert connected("owner") == "owner"


def test_proof_takes_the_certificate_from_the_others(key):
    named_by(key, "thief", "owner", "third")
    newest = max(Event.objects.values_list("pk", flat=True))
    assert connected("owner") == "owner"

    assert connected("thief") == "owner"
    kinds = dict(DeviceCredentials.objects.values_list("device__name", "type"))
    assert kinds == {"owner": "X509_CERTIFICATE", "thief": "ACCESS_TOKEN", "third": "ACCESS_TOKEN"}
    events = Event.objects.filter(pk__gt=newest, kind=Kind.CREDENTIALS_CHANGED).values_list("device_id", flat=True)
    assert set(events) == set(Device.objects.exclude(name="owner").values_list("pk", flat=True))
    assert provision(ask(key, "thief", credentials=CERTIFICATE)).status == ProvisionStatus.FAILURE


def test_only_claim_needs_no_client_id_and_is_proven_by_the_first_connection(key):
    named_by(key, "a")

    assert connected("whatever") == "a"

    assert provision(ask(key, "b", credentials=CERTIFICATE)).reason == Reason.CREDENTIALS_TAKEN
    assert connected() == "a"


def test_provisioning_over_tls_with_the_certificate_proves_it_in_the_order_of_the_batch(key):
    origins = {
        "thief": Origin(Transport.HTTP),
        "thief over TLS": OVER_TLS_WITH_ANOTHER,
        "owner": OVER_TLS,
        "late": Origin(Transport.HTTP),
        "late over TLS": OVER_TLS,
    }
    named = [ask(key, name, credentials=CERTIFICATE, origin=origin) for name, origin in origins.items()]

    outcomes = provision_batch(named)

    assert [outcome.reason for outcome in outcomes] == [Reason.CREATED] * 3 + [Reason.CREDENTIALS_TAKEN] * 2
    kinds = dict(DeviceCredentials.objects.values_list("device__name", "type"))
    assert kinds == {"owner": "X509_CERTIFICATE", "thief": "ACCESS_TOKEN", "thief over TLS": "ACCESS_TOKEN"}
    assert connected() == "owner"


def test_repeated_request_over_tls_proves_what_the_first_one_named(key):
    first = ask(key, "owner", credentials=CERTIFICATE, idempotency_key="0123456789abcdef")
    named_by(key, "thief")

    for origin in (first.origin, OVER_TLS, OVER_TLS):
        assert provision(replace(first, origin=origin)).credentials == CERTIFICATE

    assert connected() == "owner"


def test_blocked_device_proves_nothing(key):
    named_by(key, "a")
    Device.objects.update(blocked=True)

    with pytest.raises(AuthenticationFailed):
        connected()

    named_by(key, "b")


def test_certificate_of_an_operators_list_is_the_devices_at_once(key):
    named_by(key, "thief")
    device_create(name="owner", profile=key.profile, credentials=CERTIFICATE)

    assert connected("thief") == "owner"
    assert provision(ask(key, "late", credentials=CERTIFICATE)).reason == Reason.CREDENTIALS_TAKEN
    with pytest.raises(ValidationError):
        device_create(name="second", profile=key.profile, credentials=CERTIFICATE)


def test_claimed_device_may_bring_the_certificate_that_is_stored_for_it():
    key = checking("other", allow_own_credentials=True)
    device_create(name="listed", profile=key.profile, credentials=CERTIFICATE)

    named_by(key, "listed")

    assert connected() == "listed"


def test_claim_with_a_certificate_replaces_what_was_stored():
    key = checking("a", "b", allow_own_credentials=True)

    named_by(key, "a", "b")

    assert connected("b") == "b"
    assert isinstance(DeviceCredentials.objects.get(device__name="a").unpacked(), AccessToken)


def made(key, digest):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor-1")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return base64.b64encode(builder.sign(key, digest).public_bytes(Encoding.DER)).decode()


@pytest.mark.parametrize(
    ("make_key", "digest", "problem"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), hashes.SHA256(), "RSA key of 1024 bits"),
        (lambda: ec.generate_private_key(ec.SECP192R1()), hashes.SHA256(), "curve of 192 bits"),
        (lambda: dsa.generate_private_key(2048), hashes.SHA256(), "DSA"),
        (lambda: rsa.generate_private_key(65537, 2048), hashes.SHA256(), None),
        (ed25519.Ed25519PrivateKey.generate, None, None),
    ],
)
def test_weak_keys_are_refused_with_a_reason(make_key, digest, problem):
    text = made(make_key(), digest)
    if problem is None:
        assert certificate_body(text) == text
        return
    with pytest.raises(InvalidCredentials, match=problem):
        certificate_body(text)


@pytest.mark.parametrize(
    ("signed_with", "name"), [(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", "SHA1"), (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", "MD5")]
)
def test_weak_digests_are_refused_with_a_reason(signed_with, name, key):
    """No library signs with them any more: the algorithm's name in a certificate is changed."""
    der = base64.b64decode(made(rsa.generate_private_key(65537, 2048), hashes.SHA256()))
    text = base64.b64encode(der.replace(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", signed_with)).decode()

    outcome = provision(ask(key, "a", credentials=X509Certificate(text)))

    assert outcome.reason == Reason.CREDENTIALS_UNUSABLE
    assert f"signed with {name}" in outcome.detail
