"""Gateways and their children, pushed changes, and sessions that end (docs/protocol.md, *With the credentials afterwards*)."""

import json

import paho.mqtt.client as paho
import pytest

from tests.support.mqtt import connected, gone, subscribed
from tests.support.processes import wait_for

ADD_GATEWAY = """
from devices.services import device_create
from profiles.models import DeviceProfile
profile, _ = DeviceProfile.objects.get_or_create(name=given["name"] + " profile", defaults=given["rules"])
result = device_create(name=given["name"], profile=profile, gateway=True).credentials.value
"""
CHILDREN = """
from devices.models import Device
result = [[child.name, child.profile.name, child.provisioned_at is not None]
          for child in Device.objects.filter(parent_gateway__name=given["name"]).order_by("name")]
"""
PROBLEM = """
from devices.models import Device
result = Device.objects.get(name=given["name"]).last_problem
"""
ATTACH = """
from devices.models import Device
gateway = Device.objects.get(name=given["gateway"])
result = Device.objects.filter(name=given["name"]).update(parent_gateway=gateway)
"""
SET_SHARED = """
from devices.models import Device
from devices.services import shared_attributes_set
shared_attributes_set(device=Device.objects.get(name=given["name"]), values=given["values"])
"""
REVOKE = {
    "blocked": "from devices.bulk_services import devices_block as revoke",
    "reset": "from devices.bulk_services import devices_reset_provisioning as revoke",
    "given other credentials": "from devices.bulk_services import devices_reissue_credentials as revoke",
    "deleted": "from devices.bulk_services import devices_delete as revoke",
}


def add_gateway(broker, name, **rules):
    return broker.shell(ADD_GATEWAY, name=name, rules=rules)


def gateway_client(broker, token, **options):
    """Return a client of MQTT 5; `reasons` has those of its PUBACKs."""
    one = connected(broker.port, username=token, protocol=paho.MQTTv5, **options)
    one.reasons = []
    one.on_publish = lambda _client, _userdata, _mid, reason, _properties: one.reasons.append(reason.getName())
    return one


def reason_of(one, topic, values):
    """Publish at QoS 1 and return the reason of the PUBACK."""
    one.publish(topic, json.dumps(values), qos=1)
    wait_for(lambda: one.reasons, "PUBACK")
    return one.reasons.pop()


def heard(one):
    return [(topic, json.loads(body)) for topic, body in one.got]


def test_children_are_created_and_their_data_is_stored(broker):
    token = add_gateway(broker, "gateway 1")
    add_gateway(broker, "other")
    gateway = gateway_client(broker, token)

    assert reason_of(gateway, "v1/gateway/connect", {"device": "meter", "type": "other profile"}) == "Success"
    assert reason_of(gateway, "v1/gateway/connect", {"device": "valve", "type": "default"}) == "Success"
    telemetry = {"meter": [{"ts": 1_700_000_000_000, "values": {"kWh": 5}}], "sensor": [{"t": 21.5}]}
    assert reason_of(gateway, "v1/gateway/telemetry", telemetry) == "Success"
    assert reason_of(gateway, "v1/gateway/attributes", {"meter": {"fw": "1.2"}}) == "Success"
    assert reason_of(gateway, "v1/gateway/disconnect", {"device": "meter"}) == "Success"

    own = "gateway 1 profile"
    children = broker.shell(CHILDREN, name="gateway 1")
    assert children == [["meter", "other profile", True], ["sensor", own, True], ["valve", own, True]]
    stored = broker.telemetry()
    assert (stored["meter"], stored["sensor"]) == ({"kWh": 5}, {"t": 21.5})
    assert broker.attributes("meter") == {"fw": "1.2"}
    gone(gateway)


def test_attributes_of_a_child_are_answered(broker):
    gateway = gateway_client(broker, add_gateway(broker, "gateway 2"))
    reason_of(gateway, "v1/gateway/attributes", {"lamp": {"a": 1, "b": [2]}})

    for question in ({"id": 1, "key": "a"}, {"id": 2, "keys": ["a", "b"]}, {"id": 3, "keys": ["none"]}, {"id": 4, "key": "none"}):
        assert reason_of(gateway, "v1/gateway/attributes/request", question | {"device": "lamp", "client": True}) == "Success"

    wait_for(lambda: len(gateway.got) == 4, "the answers")
    assert [body for _, body in heard(gateway)] == [
        {"id": 1, "device": "lamp", "value": 1},
        {"id": 2, "device": "lamp", "values": {"a": 1, "b": [2]}},
        {"id": 3, "device": "lamp", "values": {}},
        {"id": 4, "device": "lamp"},
    ]
    assert {topic for topic, _ in gateway.got} == {"v1/gateway/attributes/response"}
    gone(gateway)


def test_known_device_must_be_attached_before_a_gateway_reports_for_it(broker):
    gateway = gateway_client(broker, add_gateway(broker, "gateway 3"))
    broker.add_device("stranger")

    mixed = {"aaa new": [{"a": 1}], "stranger": [{"a": 1}]}
    assert reason_of(gateway, "v1/gateway/telemetry", mixed) == "Not authorized"
    assert "'stranger' is not attached" in broker.shell(PROBLEM, name="gateway 3")
    # Whole or not at all.
    assert broker.shell(CHILDREN, name="gateway 3") == []
    assert broker.shell(ATTACH, gateway="gateway 3", name="stranger") == 1
    assert reason_of(gateway, "v1/gateway/telemetry", mixed) == "Success"

    assert broker.telemetry()["stranger"] == {"a": 1}
    gone(gateway)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [({"allow_gateway_children": False}, "may not create devices"), ({"max_gateway_children": 1}, "has its 1 devices already")],
)
def test_profile_limits_which_children_are_created(broker, rules, problem):
    name = f"gateway of {next(iter(rules))}"
    gateway = gateway_client(broker, add_gateway(broker, name, **rules))
    reasons = [reason_of(gateway, "v1/gateway/connect", {"device": f"{child} of {name}"}) for child in ("first", "second")]

    assert reasons == (["Success", "Not authorized"] if "max_gateway_children" in rules else ["Not authorized"] * 2)
    assert problem in broker.shell(PROBLEM, name=name)
    gone(gateway)


def test_device_that_is_no_gateway_has_no_children(broker):
    device = gateway_client(broker, broker.add_device("plain"))

    assert reason_of(device, "v1/gateway/connect", {"device": "child of plain"}) == "Not authorized"
    assert subscribed(device, "v1/gateway/attributes") == 0x8F
    gone(device)


def test_changed_shared_attributes_are_pushed_to_device_and_gateway(broker):
    device = gateway_client(broker, broker.add_device("pushed"))
    gateway = gateway_client(broker, add_gateway(broker, "gateway 4"))
    silent = gateway_client(broker, broker.add_device("silent"))
    for one, topic in ((device, "v1/devices/me/attributes"), (gateway, "v1/gateway/attributes")):
        assert subscribed(one, topic, 1) == 1
    reason_of(gateway, "v1/gateway/connect", {"device": "pushed child"})

    for name in ("pushed", "pushed child", "silent"):
        broker.shell(SET_SHARED, name=name, values={"target": 20.5})

    wait_for(lambda: device.got and gateway.got, "the changes")
    assert heard(device) == [("v1/devices/me/attributes", {"target": 20.5})]
    assert heard(gateway) == [("v1/gateway/attributes", {"device": "pushed child", "data": {"target": 20.5}})]
    assert silent.got == []
    for one in (device, gateway, silent):
        gone(one)


@pytest.mark.parametrize("how", REVOKE)
def test_session_of_a_device_that_lost_its_access_ends_by_itself(broker, how):
    name, lost = f"to be {how}", []
    device = connected(broker.port, username=broker.add_device(name), protocol=paho.MQTTv5, reconnect_on_failure=False)
    bystander = connected(broker.port, username=broker.add_device(f"bystander of {how}"))
    device.on_disconnect = lambda _client, _userdata, _flags, reason, _properties: lost.append(reason.getName())

    code = "from devices.models import Device\nresult = revoke(devices=Device.objects.filter(name=given['name']))"
    assert broker.shell(f"{REVOKE[how]}\n{code}", name=name) == 1

    wait_for(lambda: lost, "the end of the session")
    assert lost == ["Not authorized"]
    assert bystander.is_connected()
    device.loop_stop()
    gone(bystander)
