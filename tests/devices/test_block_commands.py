import pytest
from django.core.management import CommandError, call_command

from devices.models import Device
from devices.services import device_create
from profiles.services import profile_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def devices():
    profile, _ = profile_create(name="P", strategy="DISABLED")
    return [device_create(name=name, profile=profile) for name in ("a", "b", "c")]


def blocked():
    return set(Device.objects.filter(blocked=True).values_list("name", flat=True))


def test_named_devices_are_blocked_and_unblocked(devices, capsys):
    call_command("block_device", "a", "b")
    assert blocked() == {"a", "b"}
    call_command("unblock_device", "b")
    assert blocked() == {"a"}
    assert capsys.readouterr().out == "Blocked: 2\nUnblocked: 1\n"


def test_one_unknown_name_changes_nothing(devices):
    with pytest.raises(CommandError, match="'nope'"):
        call_command("block_device", "a", "nope")
    assert blocked() == set()
