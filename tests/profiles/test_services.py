"""Profiles and their keys: creating, revoking and re-encrypting them."""

import json

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import CommandError
from django.db import IntegrityError, transaction
from django.utils import timezone

from core import encryption
from core.encryption import DecryptionFailed, decrypt, encrypt, lookup_id
from core.json_values import json_problem
from core.text import has_control_characters, sanitized
from devices.models import DeviceCredentials
from devices.services import device_create
from profiles.models import DeviceProfile, ProvisioningKey
from profiles.services import encryption_rotate, key_create, key_revoke, profile_create
from tests.support.provisioning import command, database_text

pytestmark = pytest.mark.django_db

STRATEGY = "ALLOW_CREATE_NEW_DEVICES"


def test_new_profile_has_a_generated_key():
    profile, key = profile_create(name="  sensors ", strategy=STRATEGY)

    assert DeviceProfile.objects.get() == profile
    assert profile.name == "sensors"
    for text in (key.key, key.secret):
        assert len(text) >= 20
        assert text.isalnum()
        assert text.isascii()
    assert ProvisioningKey.objects.get().secret == key.secret


def test_given_key_and_secret_are_taken():
    _, key = profile_create(name="a", strategy=STRATEGY, key="the-given-key-16", secret="the-given-secret")

    assert (key.key, ProvisioningKey.objects.get().secret) == ("the-given-key-16", "the-given-secret")


@pytest.mark.parametrize(
    "value", ["", "x" * 15, "x" * 256, "x" * 20 + "\n", " " + "x" * 20, "x" * 20 + "\0", "x" * 20 + "\ud800"]
)
@pytest.mark.parametrize("field", ["key", "secret"])
def test_unfit_key_or_secret_is_refused_without_an_echo_and_nothing_made(field, value):
    with pytest.raises(ValidationError) as caught:
        profile_create(name="a", strategy=STRATEGY, **{field: value})

    assert list(caught.value.message_dict) == [field]
    assert "xxx" not in repr(caught.value)
    assert not DeviceProfile.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "n" * 256},
        {"name": "a\0b"},
        {"name": "a\udcff"},
        {"name": "taken"},
        {"strategy": "NONSENSE"},
        {"min_token_length": 0},
        {"min_token_length": 256},
        {"retry_window_s": -1},
        {"default_attributes": {}},
        {"default_attributes": ["a"]},
        {"default_attributes": [{"key": "a", "value": 1}]},
        {"default_attributes": [{"key": "", "value": 1, "scope": "SERVER_SCOPE"}]},
        {"default_attributes": [{"key": 5, "value": 1, "scope": "SERVER_SCOPE"}]},
        {"default_attributes": [{"key": "a\0", "value": 1, "scope": "SERVER_SCOPE"}]},
        {"default_attributes": [{"key": "a", "value": ["\0"], "scope": "SERVER_SCOPE"}]},
        {"default_attributes": [{"key": "a", "value": float("nan"), "scope": "SERVER_SCOPE"}]},
        {"default_attributes": [{"key": "a", "value": 1, "scope": "NOWHERE"}]},
        {"default_attributes": [{"key": "a", "value": 1, "scope": "SERVER_SCOPE"}] * 2},
    ],
)
def test_unfit_profile_is_refused_and_not_made(fields):
    profile_create(name="taken", strategy=STRATEGY)

    with pytest.raises(ValidationError):
        profile_create(**{"name": "a", "strategy": STRATEGY} | fields)
    assert DeviceProfile.objects.count() == ProvisioningKey.objects.count() == 1


def test_taken_key_is_refused_and_the_profile_not_made():
    _, key = profile_create(name="a", strategy=STRATEGY)

    with pytest.raises(ValidationError):
        profile_create(name="b", strategy=STRATEGY, key=key.key)
    assert DeviceProfile.objects.count() == 1


def test_key_is_revoked_once():
    _, key = profile_create(name="a", strategy=STRATEGY)

    assert key_revoke(key=key)
    revoked_at = ProvisioningKey.objects.get().revoked_at
    assert not key_revoke(key=key)
    assert ProvisioningKey.objects.get().revoked_at == revoked_at


def test_key_knows_when_it_is_over():
    profile, _ = profile_create(name="a", strategy=STRATEGY)
    now = timezone.now()
    key = key_create(profile=profile, expires_at=now, use_limit=0)

    assert key.is_expired(now)
    assert key.is_used_up
    assert not key_create(profile=profile).is_expired(now)
    assert not key_create(profile=profile, use_limit=1).is_used_up


def test_database_itself_refuses_more_uses_than_the_limit():
    profile, _ = profile_create(name="a", strategy=STRATEGY)
    key = key_create(profile=profile, use_limit=1)

    with pytest.raises(IntegrityError), transaction.atomic():
        ProvisioningKey.objects.filter(pk=key.pk).update(uses=2)


def test_key_shows_no_secret():
    _, key = profile_create(name="a", strategy=STRATEGY)

    assert key.secret not in repr(key) + str(key) + repr(key.profile)
    assert key.key not in repr(key) + str(key)


# --- create_profile -------------------------------------------------------------------------------


def test_command_prints_one_json_object_on_the_last_line():
    out = command("create_profile", "sensors", "--strategy", STRATEGY, "--json")

    printed = json.loads(out.splitlines()[-1])
    key = ProvisioningKey.objects.get()
    assert printed["id"] == str(key.profile_id)
    assert (printed["key"], printed["secret"]) == (key.key, key.secret)
    assert key.profile.strategy == STRATEGY


def test_command_prints_id_key_and_secret_for_people():
    out = command("create_profile", "sensors", "--strategy", "DISABLED", "--key", "k" * 16, "--secret", "s" * 16)

    assert str(DeviceProfile.objects.get().pk) in out
    assert "k" * 16 in out
    assert "s" * 16 in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--key", "short-key"],
        ["--secret", "short-secret"],
        ["--key", "k" * 16, "--secret", "s" * 15],
    ],
)
def test_command_refuses_short_key_or_secret_without_an_echo(arguments):
    with pytest.raises(CommandError) as caught:
        command("create_profile", "a", "--strategy", STRATEGY, *arguments)

    assert "16 to 255 characters" in str(caught.value)
    assert not any(argument in str(caught.value) for argument in arguments[1::2])
    assert not DeviceProfile.objects.exists()


def test_command_refuses_taken_name_taken_key_and_unknown_strategy():
    command("create_profile", "a", "--strategy", STRATEGY, "--key", "k" * 16)

    for arguments in (["a", "--strategy", STRATEGY], ["b", "--strategy", STRATEGY, "--key", "k" * 16], ["c", "--strategy", "X"]):
        with pytest.raises(CommandError):
            command("create_profile", *arguments)
    assert DeviceProfile.objects.count() == 1


# --- Encryption -----------------------------------------------------------------------------------


def test_secrets_are_encrypted_in_the_database():
    profile, key = profile_create(name="a", strategy=STRATEGY)
    device = device_create(name="a", profile=profile)

    everything = database_text()
    assert key.key in everything
    assert key.secret not in everything
    assert device.credentials.value not in everything


def test_rotation_lets_the_old_key_be_dropped(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    profile, key = profile_create(name="a", strategy=STRATEGY)
    tokens = [device_create(name=f"d{index}", profile=profile).credentials.value for index in range(3)]

    settings.ENCRYPTION_KEYS = [new, old]
    out = command("rotate_encryption")
    assert "ProvisioningKey: 1" in out
    assert "DeviceCredentials: 3" in out

    settings.ENCRYPTION_KEYS = [new]
    assert ProvisioningKey.objects.get().secret == key.secret
    assert sorted(row.value for row in DeviceCredentials.objects.all()) == sorted(tokens)


def test_rotation_goes_through_more_than_one_chunk(settings, monkeypatch):
    from profiles import services

    monkeypatch.setattr(services, "ROTATE_CHUNK", 2)
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    profile, _ = profile_create(name="a", strategy=STRATEGY)
    for _ in range(4):
        key_create(profile=profile)
    settings.ENCRYPTION_KEYS = [new, old]

    assert encryption_rotate()["ProvisioningKey"] == 5
    settings.ENCRYPTION_KEYS = [new]
    assert len([row.secret for row in ProvisioningKey.objects.all()]) == 5


def test_dropped_key_is_named_in_the_error(settings):
    profile_create(name="a", strategy=STRATEGY)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(DecryptionFailed, match="ENCRYPTION_KEYS"):
        ProvisioningKey.objects.get()


def test_key_that_is_no_fernet_key_is_named_in_the_error(settings):
    settings.ENCRYPTION_KEYS = ["not-a-key"]
    encryption._fernet.cache_clear()

    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS") as caught:
        encrypt("x")
    assert "not-a-key" not in str(caught.value)


def test_encrypted_text_comes_back_and_never_looks_the_same():
    assert decrypt(encrypt("geheim ü🚀")) == "geheim ü🚀"
    assert encrypt("a") != encrypt("a")


def test_lookup_ids_keep_purposes_and_parts_apart():
    ids = {
        lookup_id("a", "b", "c"),
        lookup_id("a", "bc"),
        lookup_id("a", "bc", ""),
        lookup_id("ab", "c"),
        lookup_id("b", "a", "c"),
    }

    assert len(ids) == 5
    assert lookup_id("a", "b") == lookup_id("a", "b")


def test_lookup_ids_depend_on_the_key(settings):
    before = lookup_id("a", "b")
    settings.LOOKUP_KEY = "another key of 32 characters or more"

    assert lookup_id("a", "b") != before


# --- Text and values ------------------------------------------------------------------------------


@pytest.mark.parametrize("character", ["\0", "\n", "\x1f", "\x7f", "\x85", "\x9f", "\ud800"])
def test_control_characters_and_lone_surrogates_are_replaced(character):
    assert has_control_characters(f"a{character}")
    assert sanitized(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_other_text_is_left_alone_but_for_its_length():
    assert not has_control_characters("aä漢🚀\u2028\u200b ")
    assert sanitized("ä" * 300) == "ä" * 255
    assert sanitized("abc", 2) == "ab"


@pytest.mark.parametrize("value", ["\0", {"\0": 1}, [["\udfff"]], float("inf"), [{"a": float("nan")}]])
def test_json_that_cannot_be_stored_has_a_problem(value):
    assert json_problem(value)


def test_json_has_a_bounded_depth():
    value: list = []
    for _ in range(32):
        value = [value]

    assert json_problem(value) == ""
    assert json_problem([value]) == "The value is nested too deeply."
    assert json_problem({"a": [1, 2.5, None, True, "x"]}) == ""
