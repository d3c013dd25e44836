"""Guessing device credentials: slowed down for the guesser only."""

import pytest

from devices.authentication import AuthenticationFailed, MqttConnect, PresentedToken
from devices.credentials import MqttBasic
from devices.services import device_create
from profiles.services import profile_create
from provisioning import login_limits as module
from provisioning.choices import Transport
from provisioning.errors import Unavailable
from provisioning.login_limits import MAX_WAIT_S, LoginLimited, LoginLimits, authenticate

GOOD = "right-token"


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch, settings):
    """Limits of five guesses with a clock of their own, in front of devices that all have one token or password."""
    clock = Clock()
    settings.GUESSES_PER_SOURCE = 5
    monkeypatch.setattr(module, "login_limits", LoginLimits(clock))

    def authenticate_device(presented):
        if GOOD not in (getattr(presented, "token", ""), getattr(presented, "password", "")):
            raise AuthenticationFailed("No device has these credentials.")
        return "device"

    monkeypatch.setattr(module, "authenticate_device", authenticate_device)
    return clock


def login(token, address="192.0.2.1", transport=Transport.HTTP, **options):
    try:
        return authenticate(PresentedToken(token), transport, address, **options)
    except LoginLimited as err:
        return err.retry_after_s
    except AuthenticationFailed:
        return "wrong"


def connect(password, name="pump", address="192.0.2.1"):
    try:
        return authenticate(MqttConnect(client_id="c", username=name, password=password), Transport.MQTT, address)
    except LoginLimited as err:
        return err.retry_after_s
    except AuthenticationFailed:
        return "wrong"


def guess(times, **where):
    return [login(f"guess-{number}", **where) for number in range(times)]


def test_source_that_guesses_waits_and_learns_nothing_meanwhile(clock):
    assert guess(6) == ["wrong"] * 6

    assert login("another") == 16
    assert login(GOOD) == 16
    clock.now += 16
    assert login(GOOD) == "device"


def test_each_wait_is_longer_than_the_one_before_up_to_a_bound(clock):
    waits = []
    for _ in range(9):
        guess(6)
        waits.append(login("another") - 1)
        clock.now += waits[-1] + 1

    assert waits == [15, 30, 60, 120, 240, 480, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]
    clock.now += 4_000
    guess(6)
    assert login("another") - 1 == 15


def test_same_wrong_credentials_count_once(clock):
    assert [login("badly-configured") for _ in range(100)] == ["wrong"] * 100
    assert login(GOOD) == "device"


def test_device_that_worked_before_goes_on_beside_a_guesser_behind_the_same_nat(clock):
    assert login(GOOD) == "device"
    guess(6)

    assert login(GOOD) == "device"
    assert login("another") == 16


def test_other_sources_are_not_concerned(clock):
    guess(6)

    assert login(GOOD, address="192.0.2.2") == "device"


def test_forged_datagrams_limit_neither_tcp_nor_peers_with_a_proven_address(clock):
    guess(6, transport=Transport.COAP, proven=False)

    assert login(GOOD, transport=Transport.COAP, proven=False) == 16
    assert login(GOOD, transport=Transport.COAP, proven=True) == "device"
    assert login(GOOD, transport=Transport.MQTT) == "device"


def test_network_of_ipv6_is_counted_as_a_whole(clock):
    for site in range(11):
        for number in range(5):
            login(f"{site}-{number}", address=f"2001:db8:1:{site:x}::1")

    assert isinstance(login("another", address="2001:db8:1:ff::1"), int)
    assert login("another", address="2001:db8:2::1") == "wrong"


def test_passwords_for_one_name_are_limited_over_all_sources(clock):
    for number in range(11):
        assert connect(f"guess-{number}", address=f"192.0.2.{number}") == "wrong"

    assert connect("another", address="198.51.100.1") == 16
    assert connect(GOOD, address="198.51.100.1") == 16
    assert connect(GOOD, name="valve", address="198.51.100.1") == "device"


def test_many_sources_forget_the_harmless_first(clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 10)
    guess(6)
    for number in range(100):
        login("once", address=f"198.51.100.{number}")

    assert login("another") == 16


def test_nothing_that_is_kept_reveals_credentials(clock):
    login("guess-s3cret")
    login(GOOD)

    kept = vars(module.login_limits)
    assert "s3cret" not in repr(kept)
    assert GOOD not in repr(kept)


@pytest.mark.django_db
def test_password_that_cannot_be_decrypted_is_no_wrong_guess(settings):
    profile, _ = profile_create(name="sensors", strategy="DISABLED")
    device = device_create(name="pump 1", profile=profile, credentials=MqttBasic("", "pump", GOOD))
    keys, settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS, ["BhKPHk4w0lZqWZoDbV1oJ5vS0cD7mO6b2cYc8w0Q3zE="]

    for _ in range(module.PASSWORDS_PER_NAME + 2):
        with pytest.raises(Unavailable):
            connect(GOOD)

    settings.ENCRYPTION_KEYS = keys
    assert connect(GOOD) == device
