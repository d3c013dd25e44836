"""10,000 devices and 100,000 attempts: every list answers with as many queries as an empty one or a few more, in a second."""

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from devices.models import Device, DeviceCredentials
from profiles.services import profile_create
from provisioning.choices import Reason
from provisioning.models import ProvisionAttempt
from tests.support.operators import client_of

pytestmark = pytest.mark.django_db

DEVICES, ATTEMPTS = 10_000, 100_000
MAX_QUERIES = 20
LONGEST_S = 1.0
TRIES = 3
PAGES = (
    "index",
    "devices_device_changelist",
    "devices_device_changelist?q=DHT11-09999",
    "devices_device_changelist?state=provisioned&o=-6",
    "devices_device_changelist?p=150",
    "provisioning_provisionattempt_changelist",
    "provisioning_provisionattempt_changelist?q=DHT11-09999",
    "provisioning_provisionattempt_changelist?outcome__exact=FAILURE",
    "profiles_deviceprofile_changelist",
    "provisioning_rejectedrequest_changelist",
    "operations_heartbeat_changelist",
    "admin_logentry_changelist",
)


@pytest.fixture
def many():
    now = timezone.now()
    profile, key = profile_create(name="sensors", strategy="ALLOW_CREATE_NEW_DEVICES")
    devices = [
        Device(name=f"DHT11-{number:05}", label=f"hall {number % 40}", profile=profile, provisioned_at=now, provisioned_with=key)
        for number in range(DEVICES)
    ]
    Device.objects.bulk_create(devices, batch_size=2_000)
    DeviceCredentials.objects.bulk_create(
        [
            DeviceCredentials(device=device, type="ACCESS_TOKEN", credentials_id=f"{device.pk.hex:0>64}", value="x")
            for device in devices
        ],
        batch_size=2_000,
    )
    outcomes = (("SUCCESS", Reason.CREATED), ("FAILURE", Reason.NAME_TAKEN), ("NOT_FOUND", Reason.SECRET_WRONG))
    for start in range(0, ATTEMPTS, 10_000):
        ProvisionAttempt.objects.bulk_create(
            [
                ProvisionAttempt(
                    created_at=now - timedelta(seconds=number),
                    transport="HTTP",
                    address="192.0.2.1",
                    profile=profile,
                    key=key,
                    device_name=f"DHT11-{number % DEVICES:05}",
                    outcome=outcomes[number % 3][0],
                    reason=outcomes[number % 3][1],
                )
                for number in range(start, start + 10_000)
            ],
            batch_size=2_000,
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def test_every_list_is_bounded_and_answers_within_a_second(many):
    client = client_of("Administrator")
    slow = {}
    today = timezone.localtime()
    pages = [*PAGES, f"provisioning_provisionattempt_changelist?created_at__year={today.year}&created_at__month={today.month}"]
    for page in pages:
        name, _, query = page.partition("?")
        url = f"{reverse(f'admin:{name}')}?{query}"
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url).status_code == 200, page
        query_count = len(queries)
        took_s = min(seconds(client, url) for _ in range(TRIES))
        if took_s > LONGEST_S or query_count > MAX_QUERIES:
            slow[page] = (took_s, query_count)
    assert slow == {}


def seconds(client, url):
    """Return what the page costs: this process's time, and that of a database server for its queries.

    Not the time on the wall: what else the machine does is not the page's doing.
    """
    with CaptureQueriesContext(connection) as queries:
        started = time.process_time()
        client.get(url)
        own_s = time.process_time() - started
    in_process = connection.vendor == "sqlite"
    return own_s + (0 if in_process else sum(float(query["time"]) for query in queries.captured_queries))
