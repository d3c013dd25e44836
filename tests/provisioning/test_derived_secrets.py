"""Keys whose devices each present a secret of their own, derived from their name."""

import base64
import hashlib
import hmac

import pytest

from profiles.choices import SecretUse
from profiles.models import ProvisioningKey
from profiles.services import key_create, key_rotate
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import RejectedRequest
from provisioning.services import provision_batch
from tests.support.provisioning import ask, assert_refused, checking, creating, provision

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NAME = "Fühler/1"


def derived(secret: str, name: str) -> str:
    """What docs/protocol.md says, made without the product."""
    return base64.b64encode(hmac.new(secret.encode(), name.encode(), hashlib.sha256).digest()).decode()


@pytest.fixture
def key() -> ProvisioningKey:
    return key_create(profile=creating().profile, secret_use=SecretUse.DERIVED)


@pytest.mark.parametrize("sent", [NAME, f"  {NAME}\t"])
def test_device_with_its_own_secret_provisions(key, sent):
    assert provision(ask(key, sent, secret=derived(key.secret, NAME))).reason == Reason.CREATED


def test_pre_provisioned_device_with_its_own_secret_provisions_once():
    shared = checking(NAME)
    key = key_rotate(key=shared, secret_use=SecretUse.DERIVED)

    outcomes = provision_batch([ask(key, NAME, secret=derived(key.secret, NAME)) for _ in range(2)])

    assert [outcome.status for outcome in outcomes] == [ProvisionStatus.SUCCESS, ProvisionStatus.FAILURE]


@pytest.mark.parametrize(
    ("name", "secret", "reason"),
    [
        ("other", derived("S", NAME), Reason.SECRET_WRONG),
        (NAME, derived("S", NAME).rstrip("="), Reason.SECRET_WRONG),
        (NAME, derived("S", NAME.encode().decode("latin-1")), Reason.SECRET_WRONG),
        (NAME, "S", Reason.SECRET_NOT_DERIVED),
        (None, derived("S", ""), Reason.SECRET_NOT_DERIVED),
        (" ", derived("S", ""), Reason.SECRET_NOT_DERIVED),
        (None, "S", Reason.SECRET_NOT_DERIVED),
        ("half\ud800", derived("S", "half"), Reason.SECRET_WRONG),
    ],
)
def test_secret_of_another_device_the_keys_own_and_no_name_are_not_found(key, name, secret, reason):
    ProvisioningKey.objects.filter(pk=key.pk).update(secret="S")

    assert_refused(provision(ask(key, name, secret=secret)), ProvisionStatus.NOT_FOUND, reason)
    assert RejectedRequest.objects.get().reason == reason


def test_both_keys_of_a_change_over_are_live_and_a_batch_may_mix_them():
    shared = creating()
    key = key_rotate(key=shared, secret_use=SecretUse.DERIVED)
    mixed = [
        ask(shared, "old"),
        ask(key, "new", secret=derived(key.secret, "new")),
        ask(shared, "thief", secret=derived(shared.secret, "thief")),
        ask(key, "copy", secret=derived(key.secret, "new")),
    ]

    reasons = [outcome.reason for outcome in provision_batch(mixed)]

    assert reasons == [Reason.CREATED, Reason.CREATED, Reason.SECRET_WRONG, Reason.SECRET_WRONG]
    assert key_rotate(key=key).secret_use == SecretUse.DERIVED
