"""Secrets in `manage.py dumpdata`: encrypted, and back again by `loaddata`."""

import io

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.core.serializers.base import DeserializationError

from devices.credentials import MqttBasic
from devices.models import Device, DeviceCredentials
from imports.models import ImportFilePart
from profiles.models import ProvisioningKey
from profiles.services import profile_create

pytestmark = pytest.mark.django_db

LOGIN = MqttBasic("", "pump-7", "a-password-of-a-pump")


@pytest.fixture
def secret():
    """The secret of a profile whose one device has LOGIN."""
    profile, key = profile_create(name="pumps", strategy="ALLOW_CREATE_NEW_DEVICES")
    row = DeviceCredentials(device=Device.objects.create(name="pump-7", profile=profile))
    row.set(LOGIN)
    row.save()
    return key.secret


def dump() -> str:
    output = io.StringIO()
    call_command("dumpdata", "profiles", "devices", stdout=output)
    return output.getvalue()


def test_dump_holds_no_secret(secret):
    text = dump()

    assert "pumps" in text
    assert secret not in text
    assert LOGIN.password not in text


def test_loaded_dump_has_the_same_secrets(secret, tmp_path):
    file = tmp_path / "dump.json"
    file.write_text(dump())
    DeviceCredentials.objects.all().delete()
    ProvisioningKey.objects.update(secret="lost")

    call_command("loaddata", str(file), verbosity=0)

    assert ProvisioningKey.objects.get().secret == secret
    assert DeviceCredentials.objects.get().unpacked() == LOGIN


def test_dump_of_another_installation_is_refused(secret, tmp_path, settings):
    file = tmp_path / "dump.json"
    file.write_text(dump())
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(DeserializationError, match="No key in ENCRYPTION_KEYS"):
        call_command("loaddata", str(file), verbosity=0)


def test_file_of_an_import_is_dumped_encrypted_and_read_back():
    field = ImportFilePart._meta.get_field("content")

    text = field.value_to_string(ImportFilePart(content=b"name,token"))

    assert "name,token" not in text
    assert "bmFtZSx0b2tlbg" not in text, "base64 is no encryption"
    assert field.to_python(text) == b"name,token"
