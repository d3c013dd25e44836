"""The feed of the Mosquitto plugin, as it asks for it over HTTP."""

import uuid

import pytest
from django.db import transaction
from django.test import Client, RequestFactory

from brokers.models import Broker, ReplicaDigest
from brokers.replica import selectors, views, waits
from brokers.replica.views import events
from brokers.services import broker_create, broker_rotate_secret
from core.deferred import ACCEPTED, Deferred
from devices.credentials import AccessToken, MqttBasic
from devices.models import Device
from devices.services import device_create
from events.choices import Kind
from events.services import NewEvent, record
from profiles.models import DeviceProfile
from tests.support.broker_feed import digest
from tests.support.plans import plans

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "a-secret-of-the-tests"


@pytest.fixture
def broker() -> Broker:
    return broker_create(name="plant", kind="mosquitto", secret=SECRET)


@pytest.fixture
def profile() -> DeviceProfile:
    return DeviceProfile.objects.create(name="Sensor A", topic_pattern="plant/{device_name}/#")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(waits, "POLL_INTERVAL_S", 0.01)


def ask(broker: Broker, path: str, *, secret: str = SECRET, method: str = "get", **parameters):
    headers = {"Authorization": f"Bearer {secret}"}
    return getattr(Client(), method)(f"/api/brokers/{broker.pk}/{path}", parameters, headers=headers)


def snapshot(broker: Broker, **options) -> list[str]:
    answer = ask(broker, "snapshot", **options)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode().splitlines()


def changes(broker: Broker, cursor: str, wait: str = "0") -> list[str]:
    answer = ask(broker, "events", epoch="1", cursor=cursor, wait=wait)
    assert answer.status_code == 200
    return answer.content.decode().splitlines()


def happened(kind: Kind, *devices: Device) -> None:
    with transaction.atomic():
        record([NewEvent(kind, device_id=device.pk) for device in devices])


def cursor_of(lines: list[str]) -> str:
    assert lines[-1].startswith("end ")
    return lines[-1].removeprefix("end ")


def test_snapshot_has_the_admitted_devices_and_no_credentials(broker, profile):
    token = device_create(name="by token 100%", profile=profile, credentials=AccessToken("token-0001"))
    gateway = device_create(name="gateway", profile=profile, gateway=True, credentials=MqttBasic("c", "u", "password-1"))
    device_create(name="blocked", profile=profile, blocked=True)

    lines = snapshot(broker)

    cursor = cursor_of(lines)
    password = digest("password", gateway.pk.hex, "password-1")
    assert lines[0] == f"firstlight 1 1 {cursor} 2"
    assert lines[1] == f"p 1 {profile.pk.hex} Sensor%20A plant/{{device_name}}/#"
    assert sorted(lines[2:-1]) == sorted(
        [
            f"+ {token.pk.hex} - 1 {digest('username', 'token-0001')} - by token 100%25",
            f"+ {gateway.pk.hex} g 1 {digest('client id and username', 'c', 'u')} {password} gateway",
        ]
    )
    assert len(changes(broker, cursor)) == 1
    broker.refresh_from_db()
    assert broker.last_asked_at


def test_a_second_snapshot_decrypts_only_what_has_changed(broker, profile, monkeypatch):
    monkeypatch.setattr(selectors, "CHUNK", 2)
    devices = [device_create(name=f"d{n}", profile=profile, credentials=AccessToken(f"token-{n:04}")) for n in range(5)]
    first = snapshot(broker)
    made: list[uuid.UUID] = []
    read = selectors._read
    monkeypatch.setattr(selectors, "_read", lambda key, ids: made.extend(ids) or read(key, ids))

    assert sorted(snapshot(broker)[2:-1]) == sorted(first[2:-1])
    assert made == []
    devices[1].credentials.set(AccessToken("another-token"))
    devices[1].credentials.save()
    devices[0].delete()
    devices[4].delete()
    lines = snapshot(broker)

    assert made == [devices[1].pk]
    assert digest("username", "another-token") in "".join(lines)
    assert ReplicaDigest.objects.count() == 3
    broker_rotate_secret(broker=broker)
    assert len(snapshot(broker, secret=broker.secret)) == 6
    assert len(made) == 4


def test_changes_are_the_current_state_of_each_device_once(broker, profile):
    one, two, three = (device_create(name=f"d{n}", profile=profile, credentials=AccessToken(f"token-{n:04}")) for n in range(3))
    cursor = cursor_of(snapshot(broker))
    Device.objects.filter(pk=one.pk).update(blocked=True)
    Device.objects.filter(pk=two.pk).update(name="renamed")
    happened(Kind.DEVICE_BLOCKED, one)
    happened(Kind.DEVICE_CHANGED, two, two)
    gone = uuid.uuid4()
    with transaction.atomic():
        record([NewEvent(Kind.DEVICE_DELETED, device_id=gone), NewEvent(Kind.SHARED_ATTRIBUTES_CHANGED, device_id=three.pk)])

    lines = changes(broker, cursor)

    assert lines[0].startswith("p 1 ")
    assert lines[1] == f"+ {two.pk.hex} - 1 {digest('username', 'token-0001')} - renamed"
    assert sorted(lines[2:-1]) == sorted([f"- {one.pk.hex}", f"- {gone.hex}"])
    assert len(changes(broker, cursor_of(lines))) == 1


def test_a_changed_profile_is_declared_again(broker, profile):
    cursor = cursor_of(snapshot(broker))
    DeviceProfile.objects.filter(pk=profile.pk).update(topic_pattern="")

    lines = changes(broker, cursor, wait="30")

    assert lines[0] == f"p 1 {profile.pk.hex} Sensor%20A"
    assert len(lines) == 2
    assert cursor_of(lines) != cursor


def test_kept_lines_are_those_that_were_made(broker, profile, monkeypatch):
    monkeypatch.setattr(selectors, "CHUNK", 2)
    other = DeviceProfile.objects.create(name="Sensor B")
    device_create(name="100% /+# ü\\n", profile=profile, credentials=AccessToken("token-0001"))
    device_create(name="gateway", profile=other, gateway=True, credentials=MqttBasic("c", "u", "password-1"))
    device_create(name="open", profile=profile, credentials=MqttBasic("c2", "", ""))
    odd = device_create(name="odd", profile=other, credentials=AccessToken("token-0002"))
    # What clean() refuses, and a database may hold.
    Device.objects.filter(pk=odd.pk).update(name="two\nlines\x7f")
    made = snapshot(broker)

    kept = snapshot(broker)

    assert sorted(kept[1:-1]) == sorted(made[1:-1])
    assert len(kept) == 8
    assert f"+ {odd.pk.hex} - " in "".join(kept)
    assert "two%0Alines%7F" in "".join(kept)


def test_credentials_that_change_during_a_snapshot_leave_no_device_out(broker, profile, monkeypatch):
    device = device_create(name="d", profile=profile, credentials=AccessToken("token-0001"))
    snapshot(broker)
    keep = selectors.kept.keep

    def changed(*arguments):
        device.credentials.set(AccessToken("token-0002"))
        device.credentials.save()
        keep(*arguments)

    monkeypatch.setattr(selectors.kept, "keep", changed)
    assert digest("username", "token-0001") in "".join(snapshot(broker))
    monkeypatch.setattr(selectors.kept, "keep", keep)
    assert digest("username", "token-0002") in "".join(snapshot(broker))
    assert ReplicaDigest.objects.get().lookup == digest("username", "token-0002")


def waiting(broker: Broker, cursor: str) -> Deferred:
    """Return what our web server gets from the view while a plugin waits."""
    request = RequestFactory().get(
        "/", {"cursor": cursor, "wait": "30"}, headers={"Authorization": f"Bearer {SECRET}"}, **{ACCEPTED: True}
    )
    response = events(request, broker.pk)
    assert isinstance(response, Deferred)
    return response


def test_waiting_plugins_hold_no_thread_and_learn_at_once(broker, profile, monkeypatch):
    monkeypatch.setattr(views, "MAX_WAIT_S", 600.0)
    device = device_create(name="d", profile=profile, credentials=AccessToken("token-0001"))
    cursor = cursor_of(snapshot(broker))

    both = [waiting(broker, cursor), waiting(broker, cursor)]
    assert not any(one.future.done() for one in both)
    happened(Kind.DEVICE_UNBLOCKED, device)

    for one in both:
        assert f"+ {device.pk.hex} " in one.finish(one.future.result(timeout=60)).content.decode()


def test_a_plugin_without_news_is_answered_when_its_time_is_over(broker, monkeypatch):
    monkeypatch.setattr(views, "MAX_WAIT_S", 0.01)
    cursor = cursor_of(snapshot(broker))

    assert len(changes(broker, cursor, wait="30")) == 1


def test_a_position_that_is_lost_while_a_plugin_waits_needs_a_snapshot(broker, monkeypatch):
    monkeypatch.setattr(views, "MAX_WAIT_S", 600.0)
    cursor = cursor_of(snapshot(broker))
    monkeypatch.setattr(waits, "changes", lambda *_: (_ for _ in ()).throw(selectors.UnknownCursor()))

    one = waiting(broker, cursor)

    assert one.finish(one.future.result(timeout=60)).status_code == 409


@pytest.mark.parametrize("cursor", ["", "x", "000000000000~99-1", "000000000000~no/position"])
def test_a_position_that_is_not_known_needs_a_snapshot(broker, profile, cursor):
    happened(Kind.DEVICE_CREATED, device_create(name="d", profile=profile))

    assert ask(broker, "events", epoch="1", cursor=cursor, wait="0").status_code == 409


def test_only_that_brokers_secret_opens_the_feed(broker):
    other = broker_create(name="other", kind="mosquitto")
    emqx = broker_create(name="emqx", kind="emqx")

    for path in ("snapshot", "events", "seen"):
        method = "post" if path == "seen" else "get"
        assert ask(broker, path, secret=other.secret, method=method).status_code == 403
        assert ask(broker, path, secret="", method=method).status_code == 403
        assert ask(emqx, path, secret=emqx.secret, method=method).status_code == 403
    broker.pk = uuid.uuid4()
    assert ask(broker, "snapshot").status_code == 403
    assert ask(other, "snapshot", secret=other.secret, method="post").status_code == 405
    assert ask(other, "events", secret=other.secret, wait="soon").status_code == 400


def test_reported_use_is_noted(broker, profile):
    device, silent = (device_create(name=name, profile=profile) for name in ("d", "silent"))

    def report(body: str) -> int:
        headers = {"Authorization": f"Bearer {SECRET}"}
        return Client().post(f"/api/brokers/{broker.pk}/seen", body, content_type="text/plain", headers=headers).status_code

    assert report(f"{device.pk.hex}\n{uuid.uuid4().hex}\n") == 204
    device.refresh_from_db()
    silent.refresh_from_db()
    assert device.first_used_at == device.last_seen_at
    assert device.first_used_at is not None
    assert silent.first_used_at is None
    assert report("no id\n") == 400
    assert report(f"{device.pk.hex}\n" * 1_001) == 413


def test_no_range_of_devices_is_compared_row_by_row(broker, profile):
    """PostgreSQL takes a range of ids for one row; for five thousand a nested loop takes seconds, a merge milliseconds."""
    for number in range(20):
        device_create(name=f"device-{number}", profile=profile, credentials=AccessToken(f"token-{number:04}"))
    snapshot(broker)

    with plans() as found:
        assert len(snapshot(broker)) == 23

    compared = [tables for tables in found.nested if {"brokers_replicadigest", "devices_devicecredentials"} <= tables]
    assert compared == []
