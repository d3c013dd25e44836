"""Statements by hand, on PostgreSQL prepared ones."""

import pytest
from django.db import Error, transaction

from core.connections import from_row, prepared_rows
from devices.models import Device
from devices.services import device_create
from profiles.services import profile_create

pytestmark = pytest.mark.django_db
COLUMNS = ", ".join(field.column for field in Device._meta.concrete_fields)


def test_instance_made_of_a_row_is_the_one_that_the_orm_makes():
    profile, _ = profile_create(name="sensors", strategy="DISABLED")
    gateway = device_create(name="gateway", profile=profile, gateway=True)
    device = device_create(name="ü%", profile=profile, parent_gateway=gateway, blocked=True)

    # More than once: from then on PostgreSQL has a prepared plan.
    for _ in range(3):
        (row,) = prepared_rows(f"SELECT {COLUMNS}, 7 FROM devices_device WHERE id = %s", [device.pk.hex])

    assert row[-1] == 7
    made, stored = from_row(Device, row), Device.objects.get(pk=device.pk)
    for field in Device._meta.concrete_fields:
        value = getattr(made, field.attname)
        assert (value, type(value)) == (getattr(stored, field.attname), type(getattr(stored, field.attname)))
    made.label = "changed"
    made.save()
    assert Device.objects.get(pk=device.pk).label == "changed"


def test_error_is_one_of_djangos():
    with pytest.raises(Error), transaction.atomic():
        prepared_rows("SELECT nothing FROM nowhere", [])
