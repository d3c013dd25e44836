"""The pages of brokers, with a Mosquitto that admits anyone."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from brokers.calls import Denial
from brokers.checks import check
from brokers.models import Broker, BrokerKick
from brokers.records import note_denial
from brokers.services import broker_create, has_secret
from console.dashboard.dashboard import concerns
from devices.models import Device
from profiles.models import DeviceProfile
from tests.support.mosquitto import Mosquitto
from tests.support.operators import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def open_broker(tmp_path):
    mosquitto = Mosquitto(tmp_path / "broker", open_to_all=True)
    mosquitto.start()
    yield broker_create(name="Plant 7", kind="emqx", mqtt_url=f"mqtt://127.0.0.1:{mosquitto.device_port}")
    mosquitto.stop()


def page(broker):
    return reverse("admin:brokers_broker_page", args=(broker.pk,))


def test_adding_a_broker_displays_its_configuration_with_the_secret_once():
    client = client_of("Administrator")
    values = {"name": "Plant 7", "kind": "rabbitmq", "mqtt_url": "mqtt://10.0.0.5:1883"}
    shown = client.post(reverse("admin:brokers_broker_add"), values, follow=True)

    broker = Broker.objects.get()
    assert broker.secret in shown.content.decode()
    assert f"/api/brokers/{broker.pk}/user?secret={broker.secret}" in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert broker.secret not in client.get(page(broker)).content.decode()
    assert LogEntry.objects.get().get_change_message() == "Added."
    assert broker.secret not in str(client.session.items())


@pytest.mark.parametrize("values", [{"name": "b", "kind": "emqx", "mqtt_url": "http://x"}, {"name": "taken", "kind": "emqx"}])
def test_errors_of_the_service_are_in_the_form(values):
    broker_create(name="taken", kind="emqx")
    answer = client_of("Administrator").post(reverse("admin:brokers_broker_add"), values)
    assert answer.status_code == 200
    assert "fl-error" in answer.content.decode()
    assert Broker.objects.count() == 1


def test_new_secret_ends_the_old_one():
    broker = broker_create(name="b", kind="generic", secret="the-old-secret-of-it")
    shown = client_of("Administrator").post(reverse("admin:broker_rotate", args=(broker.pk,)), follow=True)

    broker.refresh_from_db()
    assert not has_secret(broker, "the-old-secret-of-it")
    assert broker.secret in shown.content.decode()


def test_editing_keeps_the_password_that_is_not_typed_again():
    broker = broker_create(name="b", kind="emqx", management_password="secret-of-the-api")
    values = {
        "name": "c",
        "mqtt_url": "",
        "management_url": "http://x:18083",
        "management_user": "key",
        "management_password": "",
    }
    change = reverse("admin:brokers_broker_change", args=(broker.pk,))
    client = client_of("Administrator")
    assert "secret-of-the-api" not in client.get(change).content.decode()
    assert client.post(change, values).status_code == 302

    broker.refresh_from_db()
    assert (broker.name, broker.management_url, broker.management_password) == ("c", "http://x:18083", "secret-of-the-api")


@pytest.mark.parametrize("group", ["Viewer", "Operator"])
def test_others_see_denials_and_kicks_and_no_secret(group):
    broker = broker_create(name="b", kind="emqx")
    note_denial(broker, "authenticate", Denial("Device 7 is blocked.", "c1", "192.0.2.7"))
    BrokerKick.objects.create(broker=broker, client_id="c9", device_id=broker.pk, tries=3, problem="The API answered 503.")
    client = client_of(group)
    text = client.get(page(broker)).content.decode()

    assert all(word in text for word in ("Device 7 is blocked.", "192.0.2.7", "c9", "The API answered 503."))
    assert broker.secret not in text
    assert client.get(reverse("admin:brokers_broker_changelist")).status_code == 200
    for name in ("broker_test", "broker_rotate"):
        assert client.post(reverse(f"admin:{name}", args=(broker.pk,))).status_code == 403
    assert client.get(reverse("admin:brokers_broker_add")).status_code == 403


def test_open_broker_fails_the_test_and_warns_on_the_dashboard(open_broker):
    shown = client_of("Administrator").post(reverse("admin:broker_test", args=(open_broker.pk,)))
    findings = {finding.device: finding for finding in shown.context["findings"]}

    assert {device: finding.passed for device, finding in findings.items()} == {
        "Admitted": True,
        "Denied": False,
        "Eavesdropping": False,
        "Revoked": False,
    }
    assert "the broker does not ask" in findings["Denied"].text
    assert not Device.objects.exists()
    assert not DeviceProfile.objects.exists()
    open_broker.refresh_from_db()
    assert open_broker.admits_anyone
    Broker.objects.update(admits_anyone=None)
    check(open_broker)
    open_broker.refresh_from_db()
    assert open_broker.admits_anyone
    assert "lets in a client with made-up credentials" in concerns(timezone.now())[0].text


def test_unreachable_broker_fails_the_test(tmp_path):
    broker = broker_create(name="b", kind="emqx", mqtt_url="mqtt://127.0.0.1:1")
    shown = client_of("Administrator").post(reverse("admin:broker_test", args=(broker.pk,)))
    assert [finding.passed for finding in shown.context["findings"]] == [False]
    assert not DeviceProfile.objects.exists()


def test_silent_broker_is_a_concern():
    now = timezone.now()
    broker_create(name="b", kind="mosquitto", last_asked_at=now)
    assert concerns(now) == []
    assert "has not asked" in concerns(now + timedelta(minutes=10))[0].text
