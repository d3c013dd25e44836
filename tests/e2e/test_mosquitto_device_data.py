"""Devices on the operator's Mosquitto are served as on the embedded broker (docs/mqtt.md, *Data of devices*)."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import mosquitto_plugin
from tests.support.databases import installation
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt import RecordingClient, connected, gone, subscribed
from tests.support.plugin_site import Site
from tests.support.processes import Server, wait_for
from tests.support.shell import DjangoShell
from tests.support.web import ROOT

SERVING = "Serving data of devices"
TELEMETRY, ATTRIBUTES = "v1/devices/me/telemetry", "v1/devices/me/attributes"

_STATE = """
from devices.models import Device, DeviceAttribute, LatestTelemetry
device = Device.objects.get(name=given["name"])
result = {
    "telemetry": dict(LatestTelemetry.objects.filter(device=device).values_list("key", "value")),
    "attributes": dict(DeviceAttribute.objects.filter(device=device, scope="CLIENT_SCOPE").values_list("key", "value")),
    "problem": device.last_problem,
}
"""
_ADD_DEVICE = """
from devices.services import device_create
from profiles.models import DeviceProfile
result = str(device_create(name="d1", profile=DeviceProfile.objects.create(name="p")).pk)
"""
_FOLLOWS = """
from events.models import ReaderPosition
result = ReaderPosition.objects.exclude(position="").filter(name="mqtt-attribute-updates").exists()
"""
_SESSIONS = """
from operations.leases import lease_names
result = lease_names("mqtt-data-")
"""
_SET_SHARED = """
from devices.models import Device
from devices.services import shared_attributes_set
shared_attributes_set(device=Device.objects.get(name=given["name"]), values=given["values"])
"""


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(tmp_path, mosquitto_plugin.build_once(tmp_path_factory), MQTT_DEVICE_DATA="on")
    yield one
    one.stop()


@pytest.fixture
def shell(site: Site) -> Iterator[DjangoShell]:
    one = DjangoShell(site.environment)
    yield one
    one.close()


def publish(device: RecordingClient, topic: str, body: dict[str, Any] | bytes) -> None:
    """Publish at QoS 1, and return once the broker has it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    info = device.publish(topic, data, qos=1)
    wait_for(info.is_published, "PUBACK")


def heard(device: RecordingClient, topic: str) -> list[Any]:
    return [json.loads(body) for name, body in device.got if name == topic]


def test_device_on_the_operators_broker_is_served_as_on_the_embedded_one(site: Site, shell: DjangoShell):
    names = ("kitchen/1", "other")
    tokens = [site.provision(name, f"client-{number}") for number, name in enumerate(names)]
    wait_for(lambda: all(map(site.admits, tokens)), "the devices' admission")
    one, other = (connected(site.broker.port, client_id=f"c{number}", username=token) for number, token in enumerate(tokens))
    for device in (one, other):
        for topic in (ATTRIBUTES, f"{ATTRIBUTES}/response/+", "v1/devices/me/rpc/response/+"):
            assert subscribed(device, topic, 1) == 1
    other.got.clear()

    def state(name: str = names[0]) -> dict[str, Any]:
        found: dict[str, Any] = shell.run(_STATE, name=name)
        return found

    def set_shared(**values: Any) -> None:
        shell.run(_SET_SHARED, name=names[0], values=values)

    def reported(kind: str, **values: Any) -> None:
        wait_for(lambda: state()[kind] == values, f"{kind} {values}")

    publish(one, TELEMETRY, {"temperature": 21.5})
    publish(one, ATTRIBUTES, {"firmware": "1.2"})
    reported("telemetry", temperature=21.5)
    reported("attributes", firmware="1.2")

    wait_for(lambda: shell.run(_FOLLOWS), "the first position in the log")
    set_shared(interval=10)
    wait_for(lambda: {"interval": 10} in heard(one, ATTRIBUTES), "the update")
    publish(one, f"{ATTRIBUTES}/request/1", {"clientKeys": "firmware", "sharedKeys": "interval"})
    wait_for(lambda: heard(one, f"{ATTRIBUTES}/response/1"), "the attributes")
    assert heard(one, f"{ATTRIBUTES}/response/1") == [{"client": {"firmware": "1.2"}, "shared": {"interval": 10}}]
    publish(one, "v1/devices/me/rpc/request/7", {"method": "getSessionLimits"})
    wait_for(lambda: heard(one, "v1/devices/me/rpc/response/7"), "the session limits")

    # What is refused is noted, and holds up nothing. An update that the bridge published is no report of the device.
    publish(one, TELEMETRY, b"not json at all {")
    publish(one, TELEMETRY, {"temperature": 22})
    reported("telemetry", temperature=22)
    assert TELEMETRY in state()["problem"]
    assert state()["attributes"] == {"firmware": "1.2"}

    # What devices publish and operators change while no bridge runs is served when one is back.
    assert site.bridge.stop() == 0
    publish(one, ATTRIBUTES, {"firmware": "1.3"})
    set_shared(interval=20)
    first = site.start_bridge()
    reported("attributes", firmware="1.3")
    wait_for(lambda: {"interval": 20} in heard(one, ATTRIBUTES), "the update from before", 90.0)

    # Of two bridges one publishes updates, and the other takes over from one that dies.
    site.start_bridge()
    first.kill()
    set_shared(interval=30)
    wait_for(lambda: {"interval": 30} in heard(one, ATTRIBUTES), "the update from the second bridge", 90.0)

    assert other.got == []
    assert state(names[1]) == {"telemetry": {}, "attributes": {}, "problem": ""}
    gone(one)
    gone(other)
    logs = site.broker.log + "".join(bridge.output() for bridge in site.bridges)
    assert not any(token in logs for token in tokens)


def test_data_waits_longer_than_requests_for_a_bridge_and_another_bridge_takes_it_over(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    settings = {"MQTT_DEVICE_DATA": "on", "MQTT_DATA_SESSIONS": "2", "MQTT_SESSION_EXPIRY_S": "1"}
    site = Site(tmp_path, mosquitto_plugin.build_once(tmp_path_factory), **settings)
    shell = DjangoShell(site.environment)

    def served(bridge: Server, times: int) -> None:
        wait_for(lambda: bridge.output().count(SERVING) == times, f"{times} sessions with data")

    def stored() -> set[str]:
        return set(shell.run(_STATE, name="d1")["telemetry"])

    try:
        token = site.provision("d1", "client-1")
        wait_for(lambda: site.admits(token), "the device's admission")
        device = connected(site.broker.port, client_id="c1", username=token)
        served(site.bridge, 2)

        # The broker drops the session for requests, and keeps those for data.
        site.bridge.kill()
        wait_for(lambda: "Expiring" in site.broker.log, "the end of the session for requests")
        keys = [f"k{number}" for number in range(20)]
        for key in keys:
            publish(device, TELEMETRY, {key: 1})
        first = site.start_bridge()
        wait_for(lambda: stored() == set(keys), "what was published without a bridge")
        assert site.broker.log.count("Expiring") == 1

        # Each bridge has one session; from one that is killed the other takes it over, with what waits in it.
        served(first, 2)
        second = site.start_bridge()
        served(second, 1)
        second.kill()
        more = [f"m{number}" for number in range(20)]
        for key in more:
            publish(device, TELEMETRY, {key: 1})
        wait_for(lambda: stored() == {*keys, *more}, "what was published to the dead bridge")
        served(first, 3)
        assert first.stop() == 0

        # A session that is not needed any more ends, so that the broker keeps nothing for it.
        site.environment["MQTT_DATA_SESSIONS"] = "1"
        last = site.start_bridge()
        wait_for(lambda: shell.run(_SESSIONS) == ["mqtt-data-1"], "the end of the second session")
        assert "mqtt-data-2 is not needed any more" in last.output()
        publish(device, TELEMETRY, {"last": 1})
        wait_for(lambda: "last" in stored(), "what came after that")
        gone(device)
    finally:
        shell.close()
        site.stop()


def test_what_the_bridge_publishes_below_a_mount_point_is_no_report_of_the_device(tmp_path: Path):
    """A plain Mosquitto, and a device that uses the topics on which a broker with mount points would put it."""
    broker = Mosquitto(tmp_path / "broker", open_to_all=True)
    with (tmp_path / "broker" / "bridge.acl").open("a") as acl:
        acl.write("user bridge\ntopic readwrite devices/#\n")
    broker.start()
    mount = dict.fromkeys(("MQTT_TOPIC_FROM_DEVICE", "MQTT_TOPIC_TO_DEVICE"), "devices/{id}")
    environment = installation(tmp_path, **broker.settings, MQTT_DEVICE_DATA="on", **mount)
    shell = DjangoShell(environment)
    bridge = Server([sys.executable, "manage.py", "mqtt_bridge"], tmp_path / "bridge.log", env=environment, cwd=ROOT)
    try:
        wait_for(lambda: "Connected to the broker" in bridge.output(), "the bridge")
        topic = f"devices/{shell.run(_ADD_DEVICE)}/{ATTRIBUTES}"
        device = connected(broker.device_port, client_id="d1")
        subscribed(device, topic, 1)

        publish(device, topic, {"firmware": "1.2"})
        wait_for(lambda: shell.run(_STATE, name="d1")["attributes"], "the report")
        wait_for(lambda: shell.run(_FOLLOWS), "the first position in the log")
        shell.run(_SET_SHARED, name="d1", values={"interval": 10})
        wait_for(lambda: {"interval": 10} in heard(device, topic), "the update")
        publish(device, topic, {"last": True})
        wait_for(lambda: "last" in shell.run(_STATE, name="d1")["attributes"], "the last report")

        assert shell.run(_STATE, name="d1")["attributes"] == {"firmware": "1.2", "last": True}
        gone(device)
    finally:
        shell.close()
        bridge.kill()
        broker.stop()
