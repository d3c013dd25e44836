"""Whatever others must learn about leaves an event, in the same transaction, with ids and keys and never a value."""

import pytest
from django.db import IntegrityError, transaction

from devices import bulk_services
from devices.credentials import AccessToken
from devices.models import Device
from devices.services import device_create, device_update, shared_attributes_delete, shared_attributes_set
from events.choices import Kind
from events.models import Event
from imports.columns import Column, ColumnType
from profiles.services import key_revoke
from tests.support.imports import import_text
from tests.support.provisioning import ask, checking, creating, database_text, provision

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key():
    return checking("one", "two")


@pytest.fixture
def device(key):
    return Device.objects.get(name="one")


def events(*, since=0):
    """Return kind, name of the device and data of the events after `since`."""
    names = dict(Device.objects.values_list("pk", "name"))
    rows = Event.objects.filter(pk__gt=since).order_by("pk").values_list("kind", "device_id", "data")
    return [(Kind(kind), names.get(device_id, ""), data) for kind, device_id, data in rows]


def after(act, *args, **options):
    """Return the events that `act` leaves."""
    newest = max(Event.objects.values_list("pk", flat=True), default=0)
    act(*args, **options)
    return events(since=newest)


def test_device_that_an_operator_creates(key):
    assert after(device_create, name="three", profile=key.profile) == [(Kind.DEVICE_CREATED, "three", {})]


def test_changed_fields_are_named_without_their_values(device):
    assert after(device_update, device=device, label="new", gateway=False) == [
        (Kind.DEVICE_CHANGED, "one", {"fields": ["label"]})
    ]
    assert after(device_update, device=device, label="new") == []


@pytest.mark.parametrize(
    ("action", "kind", "data"),
    [
        ("block", Kind.DEVICE_BLOCKED, {}),
        ("reset_provisioning", Kind.DEVICE_RESET, {}),
        ("reissue_credentials", Kind.CREDENTIALS_CHANGED, {}),
    ],
)
def test_bulk_action_has_an_event_for_each_device(action, kind, data, key):
    left = after(getattr(bulk_services, f"devices_{action}"), devices=Device.objects.all())

    assert sorted(left) == [(kind, "one", data), (kind, "two", data)]
    assert set(Event.objects.filter(kind=kind).values_list("profile_id", flat=True)) == {key.profile_id}


def test_only_what_changes_has_an_event(key, device):
    bulk_services.devices_block(devices=Device.objects.filter(name="one"))

    assert after(bulk_services.devices_block, devices=Device.objects.all()) == [(Kind.DEVICE_BLOCKED, "two", {})]
    assert len(after(bulk_services.devices_unblock, devices=Device.objects.all())) == 2
    other = creating().profile
    assert after(bulk_services.devices_move, devices=Device.objects.filter(name="one"), profile=other) == [
        (Kind.DEVICE_CHANGED, "one", {"fields": ["profile"]})
    ]
    assert after(bulk_services.devices_move, devices=Device.objects.filter(name="one"), profile=other) == []


def test_deleted_device_is_named_by_its_id(device):
    after(bulk_services.devices_delete, devices=Device.objects.filter(pk=device.pk))

    event = Event.objects.get(kind=Kind.DEVICE_DELETED)
    assert (event.device_id, event.profile_id) == (device.pk, device.profile_id)


def test_shared_attributes_are_named_without_their_values(device):
    assert after(shared_attributes_set, device=device, values={"b": 1, "a": "s3cret"}) == [
        (Kind.SHARED_ATTRIBUTES_CHANGED, "one", {"keys": ["a", "b"]})
    ]
    assert after(shared_attributes_delete, device=device, keys=["a", "none"]) == [
        (Kind.SHARED_ATTRIBUTES_CHANGED, "one", {"keys": ["a"]})
    ]
    assert after(shared_attributes_delete, device=device, keys=["none"]) == []


def test_key_is_revoked_once(key):
    after(key_revoke, key=key)
    after(key_revoke, key=key)

    event = Event.objects.get(kind=Kind.KEY_REVOKED)
    assert (event.profile_id, event.device_id, event.data) == (key.profile_id, None, {"key_id": str(key.pk)})


def test_provisioning_distinguishes_created_claimed_and_changed(key):
    own = checking("own", allow_own_credentials=True)

    assert after(provision, ask(creating(), "new")) == [(Kind.DEVICE_PROVISIONED, "new", {"created": True})]
    assert after(provision, ask(key, "one")) == [(Kind.DEVICE_PROVISIONED, "one", {})]
    assert after(provision, ask(own, "own", credentials=AccessToken("s3cret-token"))) == [
        (Kind.DEVICE_PROVISIONED, "own", {}),
        (Kind.CREDENTIALS_CHANGED, "own", {}),
    ]
    assert after(provision, ask(key, "unknown")) == []
    assert set(Event.objects.filter(kind=Kind.DEVICE_PROVISIONED).values_list("profile_id", flat=True)) == {
        own.profile_id,
        key.profile_id,
        Device.objects.get(name="new").profile_id,
    }


def test_import_creates_updates_and_is_undone(key):
    created = "name,token,shared:interval\nnew,s3cret-token-1,5\n"
    shared = {"shared:interval": Column(ColumnType.SHARED_ATTRIBUTE, "interval")}
    assert after(import_text, created, key.profile, **shared) == [(Kind.DEVICE_CREATED, "new", {})]

    updated = "name,token,label,shared:interval\nnew,s3cret-token-2,Label,6\n"
    assert after(import_text, updated, key.profile, update=True, **shared) == [
        (Kind.DEVICE_CHANGED, "new", {"fields": ["label"]}),
        (Kind.CREDENTIALS_CHANGED, "new", {}),
        (Kind.SHARED_ATTRIBUTES_CHANGED, "new", {"keys": ["interval"]}),
    ]
    assert after(import_text, updated, key.profile, update=True, **shared) == []


def test_what_is_rolled_back_leaves_no_event(device):
    @transaction.atomic
    def fail():
        bulk_services.devices_block(devices=Device.objects.all())
        raise IntegrityError

    with pytest.raises(IntegrityError):
        fail()

    assert Kind.DEVICE_BLOCKED not in Event.objects.values_list("kind", flat=True)
    assert not Device.objects.filter(blocked=True).exists()


def test_no_event_holds_a_secret(device, key):
    shared_attributes_set(device=device, values={"wifi": "s3cret"})
    provision(ask(checking("own", allow_own_credentials=True), "own", credentials=AccessToken("s3cret-token")))

    assert "s3cret" not in database_text(["events_event"])
