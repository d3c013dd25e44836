from datetime import timedelta

import pytest
from django.utils import timezone

from operations.choices import Process
from operations.heartbeat import Beating
from operations.leases import release_lease, take_lease
from operations.models import Lease

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_one_holder_at_a_time():
    assert take_lease("bridge", "a")
    assert not take_lease("bridge", "b")
    assert take_lease("bridge", "a")
    assert take_lease("other work", "b")


def test_lease_that_ran_out_or_was_released_is_taken_over():
    assert take_lease("bridge", "a")
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert take_lease("bridge", "b")
    assert not take_lease("bridge", "a")

    release_lease("bridge", "a")
    assert not take_lease("bridge", "a")
    release_lease("bridge", "b")
    assert take_lease("bridge", "a")


def test_process_whose_lease_was_taken_learns_it_from_its_heartbeat():
    one, other = Beating(Process.MQTT_BRIDGE), Beating(Process.MQTT_BRIDGE)
    assert one.may_serve_alone()
    assert not other.may_serve_alone()
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert other.may_serve_alone()
    one._write()
    other._write()
    assert (one.is_alone, other.is_alone) == (False, True)
    other._remove()
    assert one.may_serve_alone()
