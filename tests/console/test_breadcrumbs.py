"""The trail at the top of the pages that console/ puts together."""

import re

import pytest
from django.urls import reverse

from devices.services import device_create
from profiles.services import profile_create
from tests.support.operators import client_of

pytestmark = pytest.mark.django_db


def crumbs(url):
    text = client_of("Administrator").get(url).content.decode()
    return [crumb.strip() for crumb in re.findall(r'tracking-tight">([^<]*)<', text)]


def test_last_crumb_of_a_profile_is_its_name():
    profile, _ = profile_create(name="DHT11", strategy="DISABLED")
    assert crumbs(reverse("admin:profiles_deviceprofile_page", args=(profile.pk,))) == ["Device profiles", "DHT11"]


def test_last_crumb_of_a_device_is_its_name_as_it_is_written():
    profile, _ = profile_create(name="DHT11", strategy="DISABLED")
    device = device_create(name="dht11-1", profile=profile)
    assert crumbs(reverse("admin:devices_device_page", args=(device.pk,))) == ["Devices", "dht11-1"]


def test_last_crumb_of_the_wizard_is_a_new_profile():
    assert crumbs(reverse("admin:profiles_deviceprofile_add")) == ["Device profiles", "New profile"]
