"""Key and secret, whatever the strategy (docs/protocol.md)."""

import pytest
from django.utils import timezone

from profiles.models import ProvisioningKey
from profiles.services import key_create, key_revoke
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import ProvisionAttempt, RejectedRequest
from provisioning.services import provision_batch
from tests.support.provisioning import ask, assert_refused, checking, creating, provision

pytestmark = pytest.mark.django_db
NOT_FOUND, FAILURE, SUCCESS = ProvisionStatus.NOT_FOUND, ProvisionStatus.FAILURE, ProvisionStatus.SUCCESS


@pytest.mark.parametrize("strategy", [creating, checking])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"key": ""}, Reason.KEY_EMPTY),
        ({"secret": ""}, Reason.KEY_EMPTY),
        ({"key": "unknown-unknown-unknown"}, Reason.KEY_UNKNOWN),
        ({"key": "k" * 300}, Reason.KEY_UNKNOWN),
        ({"key": "nul\0"}, Reason.KEY_UNKNOWN),
        ({"key": "half\ud800"}, Reason.KEY_UNKNOWN),
        ({"secret": "wrong"}, Reason.SECRET_WRONG),
        ({"secret": "wrong\0"}, Reason.SECRET_WRONG),
        ({"secret": "wrong\ud800"}, Reason.SECRET_WRONG),
        ({"secret": "s" * 60_000}, Reason.SECRET_WRONG),
    ],
)
def test_key_and_secret_that_do_not_fit_are_not_found(strategy, fields, reason):
    outcome = provision(ask(strategy(), "a", **fields))

    assert_refused(outcome, NOT_FOUND, reason)
    assert RejectedRequest.objects.get().reason == reason


def test_key_is_taken_by_case():
    key = creating()

    assert provision(ask(key, "a", key=key.key.swapcase())).reason == Reason.KEY_UNKNOWN


def test_revoked_key_is_not_found_at_once_and_the_other_key_lives():
    key = creating()
    other = key_create(profile=key.profile)
    key_revoke(key=key)

    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.KEY_REVOKED)
    assert provision(ask(other, "a")).status == SUCCESS


def test_expired_key_is_not_found():
    key = creating()
    ProvisioningKey.objects.update(expires_at=timezone.now())

    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.KEY_EXPIRED)


def test_disabled_profile_is_not_found():
    key = creating()
    key.profile.strategy = "DISABLED"
    key.profile.save()

    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.PROFILE_DISABLED)
    assert ProvisionAttempt.objects.get().reason == Reason.PROFILE_DISABLED


def test_use_limit_ends_the_key():
    key = creating()
    ProvisioningKey.objects.update(use_limit=2)

    reasons = [outcome.reason for outcome in provision_batch([ask(key, name) for name in "aabc"])]

    assert reasons == [Reason.CREATED, Reason.NAME_TAKEN, Reason.CREATED, Reason.KEY_USED_UP]
    key.refresh_from_db()
    assert key.uses == 2
    used_up = provision(ask(key, "d"))
    assert (used_up.status, used_up.reason) == (NOT_FOUND, Reason.KEY_USED_UP)


def test_use_limit_zero_admits_no_device():
    key = creating()
    ProvisioningKey.objects.update(use_limit=0)

    assert_refused(provision(ask(key, "a")), NOT_FOUND, Reason.KEY_USED_UP)


def test_use_limit_absent_counts_nothing():
    key = creating()

    provision(ask(key, "a"))

    key.refresh_from_db()
    assert (key.use_limit, key.uses) == (None, 0)
