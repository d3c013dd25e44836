"""Authentication of devices (docs/protocol.md, *With the credentials afterwards*)."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.authentication import AuthenticationFailed, MqttConnect, PresentedCertificate, PresentedToken, authenticate
from devices.credentials import AccessToken, MqttBasic, X509Certificate
from devices.models import Device
from devices.services import device_create
from profiles.services import profile_create
from tests.support.provisioning import certificate, certificate_text

pytestmark = pytest.mark.django_db


@pytest.fixture
def make():
    profile, _ = profile_create(name="sensors", strategy="DISABLED")
    return lambda name, credentials: device_create(name=name, profile=profile, credentials=credentials)


def connect(client_id="", username="", password=""):
    return MqttConnect(client_id, username, password)


def refused(presented):
    with pytest.raises(AuthenticationFailed):
        authenticate(presented)
    return True


def test_token_is_found_over_http_and_mqtt(make):
    device = make("a", AccessToken("the-token"))

    assert authenticate(PresentedToken("the-token")) == device
    assert authenticate(connect(username="the-token")) == device
    assert authenticate(connect("any client", "the-token", "any password")) == device
    assert refused(connect("the-token"))
    assert refused(PresentedToken("The-token"))


@pytest.mark.parametrize("token", ["", "unknown", "x" * 10_000, "a\0", "\ud800"])
def test_unknown_token_is_refused(make, token):
    make("a", AccessToken("the-token"))

    assert refused(PresentedToken(token))
    assert refused(connect(username=token))


def test_client_id_and_user_name_must_both_fit_where_both_were_set(make):
    device = make("a", MqttBasic("c", "u", "p"))

    assert authenticate(connect("c", "u", "p")) == device
    assert refused(connect("c", "", "p"))
    assert refused(connect("", "u", "p"))
    assert refused(connect("x", "u", "p"))
    assert refused(connect("c", "u", "P"))
    assert refused(connect("c", "u"))


def test_user_name_alone_fits_with_any_client_id(make):
    device = make("a", MqttBasic("", "u", "p"))

    assert authenticate(connect("any", "u", "p")) == authenticate(connect("", "u", "p")) == device
    assert refused(connect("any", "u", "wrong"))
    assert refused(PresentedToken("u"))


def test_client_id_alone_counts_only_without_a_user_name(make):
    device = make("a", MqttBasic("c", "", "p"))

    assert authenticate(connect("c", "", "p")) == device
    assert refused(connect("c", "any", "p"))
    assert refused(connect("c", "", "wrong"))


def test_any_password_fits_where_none_is_stored(make):
    device = make("a", MqttBasic("c", "", ""))

    assert authenticate(connect("c", "", "")) == authenticate(connect("c", "", "something")) == device


def test_both_together_come_before_either_alone(make):
    alone = make("alone", MqttBasic("", "u", "p"))
    both = make("both", MqttBasic("c", "u", "p"))

    assert authenticate(connect("c", "u", "p")) == both
    assert authenticate(connect("other", "u", "p")) == alone


def test_certificate_is_found_by_its_der_form(make):
    device = make("a", X509Certificate(certificate()[0]))

    assert authenticate(PresentedCertificate(certificate()[1])) == device
    assert refused(PresentedCertificate(certificate("another")[1]))
    assert refused(PresentedToken(certificate_text()))


def test_blocked_device_is_refused(make):
    make("a", AccessToken("the-token"))
    Device.objects.update(blocked=True)

    assert refused(PresentedToken("the-token"))
    assert Device.objects.get().last_seen_at is None


def test_use_is_noted_at_once_and_then_once_a_minute(make):
    device = make("a", AccessToken("the-token"))
    authenticate(PresentedToken("the-token"))
    device.refresh_from_db()
    first = device.first_used_at
    assert first == device.last_seen_at
    assert timezone.now() - first < timedelta(seconds=20)

    with CaptureQueriesContext(connection) as captured:
        authenticate(PresentedToken("the-token"))
    assert not [query["sql"] for query in captured if "UPDATE" in query["sql"]]

    Device.objects.update(last_seen_at=first - timedelta(minutes=1), first_used_at=first - timedelta(days=1))
    authenticate(PresentedToken("the-token"))
    device.refresh_from_db()
    assert device.first_used_at == first - timedelta(days=1)
    assert device.last_seen_at >= first


def test_first_use_after_reset_is_noted_although_device_was_seen_just_now(make):
    device = make("a", AccessToken("the-token"))
    authenticate(PresentedToken("the-token"))
    Device.objects.update(first_used_at=None)

    authenticate(PresentedToken("the-token"))

    device.refresh_from_db()
    assert device.first_used_at


def test_repr_and_errors_show_no_secret(make):
    make("a", MqttBasic("s3cret-c", "s3cret-u", "s3cret-p"))
    presented = [PresentedToken("s3cret-t"), connect("s3cret-c", "s3cret-u", "s3cret-x"), PresentedCertificate(b"s3cret")]
    for one in presented:
        with pytest.raises(AuthenticationFailed) as caught:
            authenticate(one)
        assert "s3cret" not in repr(one) + str(caught.value) + repr(caught.value)
