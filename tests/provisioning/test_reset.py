"""After a reset, the old credentials give no access to the new ones (docs/protocol.md, *Reset and replace*)."""

import pytest

from devices.authentication import AuthenticationFailed, MqttConnect, PresentedToken, authenticate
from devices.bulk_services import devices_reissue_credentials, devices_replace, devices_reset_provisioning
from devices.credentials import AccessToken, MqttBasic, X509Certificate
from devices.models import Device, DeviceCredentials
from devices.services import credentials_handed_out, device_create
from provisioning.choices import ProvisionStatus, Reason
from tests.support.provisioning import ask, certificate_text, checking, provision

pytestmark = pytest.mark.django_db

CERTIFICATE = X509Certificate(certificate_text())
BASIC = MqttBasic("client-1", "user-1", "password-1")


@pytest.fixture
def key():
    return checking("a")


@pytest.fixture
def own():
    """The key of a profile whose devices may bring their own credentials."""
    return checking("a", allow_own_credentials=True)


def reset():
    assert devices_reset_provisioning(devices=Device.objects.all()) == 1


def credentials_of(outcome):
    assert outcome.status == ProvisionStatus.SUCCESS
    return outcome.credentials


def test_token_that_a_thief_got_first_ends_with_the_claim_after_a_reset(key):
    stolen = credentials_of(provision(ask(key, "a")))
    reset()
    assert authenticate(PresentedToken(stolen.token))

    new = credentials_of(provision(ask(key, "a")))

    assert new != stolen
    assert isinstance(new, AccessToken)
    assert authenticate(PresentedToken(new.token))
    with pytest.raises(AuthenticationFailed):
        authenticate(PresentedToken(stolen.token))


def test_repeated_reset_renews_each_time(key):
    seen = set()
    for _ in range(3):
        seen.add(credentials_of(provision(ask(key, "a"))))
        reset()

    assert len(seen) == 3


def test_credentials_that_were_never_disclosed_stay(key):
    stored = DeviceCredentials.objects.get().unpacked()
    reset()

    assert credentials_of(provision(ask(key, "a"))) == stored


def test_downloaded_or_revealed_credentials_are_those_that_the_device_gets_at_first(key):
    stored = DeviceCredentials.objects.get().unpacked()
    credentials_handed_out(credentials=DeviceCredentials.objects.all())

    assert credentials_of(provision(ask(key, "a"))) == stored


def test_downloaded_or_revealed_credentials_are_renewed_after_a_reset(key):
    stored = DeviceCredentials.objects.get().unpacked()
    credentials_handed_out(credentials=DeviceCredentials.objects.all())
    reset()

    assert credentials_of(provision(ask(key, "a"))) != stored


def test_new_credentials_have_the_type_of_the_old_ones(key):
    device_create(name="basic", profile=key.profile, credentials=BASIC)
    Device.objects.exclude(name="basic").delete()
    assert credentials_of(provision(ask(key, "basic"))) == BASIC
    reset()

    new = credentials_of(provision(ask(key, "basic")))

    assert isinstance(new, MqttBasic)
    assert not {new.client_id, new.username, new.password} & {"", *(BASIC.client_id, BASIC.username, BASIC.password)}
    with pytest.raises(AuthenticationFailed):
        authenticate(MqttConnect("client-1", "user-1", "password-1"))


def test_certificate_stays(own):
    assert credentials_of(provision(ask(own, "a", credentials=CERTIFICATE))) == CERTIFICATE
    reset()
    assert credentials_of(provision(ask(own, "a"))) == CERTIFICATE
    reset()

    assert credentials_of(provision(ask(own, "a", credentials=CERTIFICATE))) == CERTIFICATE


@pytest.mark.parametrize(
    ("old", "new", "accepted"),
    [
        (AccessToken("token-of-a"), AccessToken("token-of-a"), False),
        (AccessToken("token-of-a"), MqttBasic("", "token-of-a", ""), False),
        (AccessToken("token-of-a"), MqttBasic("", "token-of-a", "password-2"), True),
        (AccessToken("token-of-a"), AccessToken("other-token"), True),
        (BASIC, BASIC, False),
        (BASIC, MqttBasic("client-1", "user-1", ""), False),
        (BASIC, MqttBasic("client-1", "user-1", "password-2"), True),
    ],
)
def test_credentials_that_the_device_chose_must_differ_from_the_old(old, new, accepted, own):
    credentials_of(provision(ask(own, "a", credentials=old)))
    reset()

    outcome = provision(ask(own, "a", credentials=new))

    assert (outcome.reason == Reason.CLAIMED) is accepted
    assert (outcome.reason == Reason.CREDENTIALS_SPENT) is not accepted
    assert (Device.objects.get().provisioned_at is not None) is accepted


@pytest.mark.parametrize("old", [AccessToken("token-of-a"), BASIC, CERTIFICATE])
def test_replaced_device_ends_at_once_and_its_credentials_never_come_back(old, own):
    credentials_of(provision(ask(own, "a", credentials=old)))

    assert devices_replace(devices=Device.objects.all()) == 1

    stored = DeviceCredentials.objects.get().unpacked()
    assert stored.credentials_id != old.credentials_id
    assert not isinstance(stored, X509Certificate)
    assert provision(ask(own, "a", credentials=old)).reason == Reason.CREDENTIALS_SPENT
    assert credentials_of(provision(ask(own, "a"))) == stored


def test_reissued_credentials_never_come_back(own):
    old = AccessToken("token-of-a")
    credentials_of(provision(ask(own, "a", credentials=old)))
    devices_reissue_credentials(devices=Device.objects.all())
    reset()

    assert provision(ask(own, "a", credentials=old)).reason == Reason.CREDENTIALS_SPENT
