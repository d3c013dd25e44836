"""A reply can be lost: who may have it again (docs/protocol.md, *Retries*)."""

import pytest
from django.utils import timezone

from devices.authentication import PresentedToken, authenticate
from devices.credentials import AccessToken, MqttBasic
from devices.models import Device
from devices.services import device_reset_provisioning
from profiles.services import key_create, key_revoke
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import ProvisionAttempt
from provisioning.services import provision_batch
from tests.support.provisioning import age, ask, checking, creating, provision

pytestmark = pytest.mark.django_db

IDEMPOTENCY_KEY = "idempotency-key-1"
OTHER_KEY = "idempotency-key-2"


@pytest.fixture(params=["creating", "checking"])
def key(request):
    """The key of a profile of each strategy, in which a device "a" can provision."""
    return creating() if request.param == "creating" else checking("a")


def set_window(key, seconds):
    key.profile.retry_window_s = seconds
    key.profile.save()


def assert_repeats(first, second):
    assert (second.status, second.reason) == (ProvisionStatus.SUCCESS, Reason.REPEATED)
    assert (second.device_id, second.device_name, second.credentials) == (first.device_id, first.device_name, first.credentials)
    assert Device.objects.count() == 1


def assert_refused(outcome, reason):
    assert (outcome.status, outcome.reason, outcome.credentials) == (ProvisionStatus.FAILURE, reason, None)


# --- With an idempotency key ----------------------------------------------------------------------


def test_same_idempotency_key_repeats_the_answer(key):
    first = provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))

    for _ in range(3):
        assert_repeats(first, provision(ask(key, " a ", idempotency_key=IDEMPOTENCY_KEY)))
    attempts = ProvisionAttempt.objects.filter(reason=Reason.REPEATED)
    assert {(row.device_id, row.outcome) for row in attempts} == {(first.device_id, "SUCCESS")}


def test_same_idempotency_key_within_one_batch_repeats_the_answer(key):
    first, second = provision_batch([ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)] * 2)

    assert_repeats(first, second)


def test_repetition_with_other_wishes_gets_the_first_answer(key):
    first = provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))

    changed = ask(key, "a", idempotency_key=IDEMPOTENCY_KEY, credentials=AccessToken("another-token"), gateway=True)
    assert_repeats(first, provision(changed))
    assert not Device.objects.get().gateway


def test_idempotency_key_after_first_use_is_second_device(key):
    first = provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    authenticate(PresentedToken(first.credentials.token))

    assert_refused(provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)), Reason.SECOND_DEVICE)


def test_idempotency_key_within_24_hours_repeats_the_answer(key):
    first = provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    age(hours=23, minutes=59)

    assert_repeats(first, provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)))


def test_idempotency_key_after_24_hours_is_second_device(key):
    provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    age(hours=24)

    assert_refused(provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)), Reason.SECOND_DEVICE)


def test_other_idempotency_key_is_second_device(key):
    provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))

    assert_refused(provision(ask(key, "a", idempotency_key=OTHER_KEY)), Reason.SECOND_DEVICE)
    assert ProvisionAttempt.objects.filter(reason=Reason.SECOND_DEVICE).exists()


def test_no_idempotency_key_after_one_is_failure(key):
    provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    set_window(key, 3600)

    assert provision(ask(key, "a")).status == ProvisionStatus.FAILURE


def test_same_idempotency_key_with_other_provisioning_key_is_second_device(key):
    provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    other = key_create(profile=key.profile)

    assert_refused(provision(ask(other, "a", idempotency_key=IDEMPOTENCY_KEY)), Reason.SECOND_DEVICE)


def test_same_idempotency_key_with_other_name_is_another_device():
    key = creating()

    first, second = (provision(ask(key, name, idempotency_key=IDEMPOTENCY_KEY)) for name in "ab")

    assert second.reason == Reason.CREATED
    assert first.credentials != second.credentials


def test_same_idempotency_key_without_name_repeats_the_answer():
    key = creating()
    first = provision(ask(key, idempotency_key=IDEMPOTENCY_KEY))

    assert_repeats(first, provision(ask(key, idempotency_key=IDEMPOTENCY_KEY)))
    assert provision(ask(key, idempotency_key=OTHER_KEY)).reason == Reason.CREATED


def test_used_device_without_name_is_second_device():
    key = creating()
    provision(ask(key, idempotency_key=IDEMPOTENCY_KEY))
    Device.objects.update(first_used_at=timezone.now())

    assert_refused(provision(ask(key, idempotency_key=IDEMPOTENCY_KEY)), Reason.SECOND_DEVICE)
    assert Device.objects.count() == 1


def test_repetition_of_used_up_key_repeats_the_answer(key):
    type(key).objects.update(use_limit=1)
    first = provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))

    assert_repeats(first, provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)))
    key.refresh_from_db()
    assert key.uses == 1


def test_repetition_with_revoked_key_is_not_found(key):
    provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    key_revoke(key=key)

    assert provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)).reason == Reason.KEY_REVOKED


def test_repetition_of_blocked_device_is_failure(key):
    provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    Device.objects.update(blocked=True)

    assert_refused(provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)), Reason.DEVICE_BLOCKED)


def test_repetition_of_blocked_device_that_was_moved_to_another_profile_is_failure():
    key, other = creating(), creating()
    provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    Device.objects.update(blocked=True, profile=other.profile)

    assert_refused(provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)), Reason.DEVICE_BLOCKED)


def test_pre_provisioned_device_that_was_reset_provisions_again():
    key = checking("a")
    first = provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))
    authenticate(PresentedToken(first.credentials.token))
    device_reset_provisioning(device=Device.objects.get())
    assert not Device.objects.get().attributes.exists()

    second = provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY))

    assert second.reason == Reason.CLAIMED
    assert second.credentials != first.credentials
    assert Device.objects.get().first_used_at is None
    assert_repeats(second, provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)))


def test_own_credentials_are_repeated_as_they_were_taken():
    key = checking("a", allow_own_credentials=True)
    first = provision(ask(key, "a", credentials=MqttBasic("c", "u", "p"), idempotency_key=IDEMPOTENCY_KEY))

    assert_repeats(first, provision(ask(key, "a", idempotency_key=IDEMPOTENCY_KEY)))


# --- Without one: the profile's retry window ------------------------------------------------------


def test_strict_profile_repeats_nothing(key):
    provision(ask(key, "a"))

    assert provision(ask(key, "a")).reason in (Reason.NAME_TAKEN, Reason.ALREADY_PROVISIONED)


def test_strict_profile_repeats_nothing_to_a_request_that_began_earlier(key):
    """It waited for the lock of the one that won, whose time is therefore later than its own."""
    provision(ask(key, "a"))
    age(seconds=-5)

    assert provision(ask(key, "a")).reason in (Reason.NAME_TAKEN, Reason.ALREADY_PROVISIONED)


def test_same_request_within_window_repeats_the_answer(key):
    set_window(key, 60)
    first = provision(ask(key, "a"))
    age(seconds=55)

    assert_repeats(first, provision(ask(key, "a")))


def test_same_request_after_window_is_failure(key):
    set_window(key, 60)
    provision(ask(key, "a"))
    age(seconds=60)

    assert provision(ask(key, "a")).reason in (Reason.NAME_TAKEN, Reason.ALREADY_PROVISIONED)


def test_same_request_after_first_use_is_second_device(key):
    set_window(key, 60)
    first = provision(ask(key, "a"))
    authenticate(PresentedToken(first.credentials.token))

    assert_refused(provision(ask(key, "a")), Reason.SECOND_DEVICE)


@pytest.mark.parametrize("change", [{"gateway": True}, {"credentials": AccessToken("another-token")}])
def test_other_request_within_window_is_failure(change):
    key = creating(retry_window_s=60)
    provision(ask(key, "a"))

    assert provision(ask(key, "a", **change)).reason == Reason.NAME_TAKEN


def test_credentials_that_are_ignored_make_no_other_request():
    key = checking("a", retry_window_s=60)
    first = provision(ask(key, "a", credentials=AccessToken("another-token")))

    assert_repeats(first, provision(ask(key, "a")))


def test_request_without_name_or_credentials_is_never_repeated():
    key = creating(retry_window_s=60)

    first, second = provision(ask(key)), provision(ask(key))

    assert first.device_id != second.device_id


def test_request_without_name_is_known_by_its_credentials():
    key = creating(retry_window_s=60)
    first = provision(ask(key, credentials=AccessToken("chosen-token")))

    assert_repeats(first, provision(ask(key, credentials=AccessToken("chosen-token"))))
    age(seconds=60)
    assert_refused(provision(ask(key, credentials=AccessToken("chosen-token"))), Reason.SECOND_DEVICE)
