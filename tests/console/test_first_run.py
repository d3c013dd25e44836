"""`manage.py first_run`: what the first run makes, and what later ones leave alone."""

import io

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from console.first_run import first_run
from operations import ports
from profiles.models import DeviceProfile, ProvisioningKey

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _ports(monkeypatch):
    monkeypatch.setattr(ports, "needed_ports", list)


def run() -> str:
    output = io.StringIO()
    call_command("first_run", stdout=output)
    return output.getvalue()


def test_first_run_makes_an_admin_and_a_demo_profile_and_shows_both():
    output = run()

    key = ProvisioningKey.objects.get(profile__name="Demo")
    assert key.profile.strategy == "ALLOW_CREATE_NEW_DEVICES"
    assert key.key in output
    assert key.secret in output
    password = output.split("password")[1].split()[0]
    admin = get_user_model().objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(password)


def test_later_run_makes_nothing_and_shows_no_secret():
    run()
    key = ProvisioningKey.objects.get()

    output = run()

    assert get_user_model().objects.count() == DeviceProfile.objects.count() == 1
    assert key.key not in output
    assert key.secret not in output
    assert "make password" in output


def test_demo_profile_that_was_deleted_stays_deleted():
    run()
    DeviceProfile.objects.all().delete()

    run()

    assert not DeviceProfile.objects.exists()


def test_representation_shows_no_secret():
    made = first_run()

    assert made.password not in repr(made)
    assert made.secret not in repr(made)
