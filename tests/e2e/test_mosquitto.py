"""`manage.py mqtt_bridge` on Debian's Mosquitto with the configuration in deploy/mosquitto: who hears which answer."""

import json
from typing import Any

import pytest

from tests.e2e.conftest import MakeSite
from tests.support.bridged_mosquitto import ask
from tests.support.mqtt import connected, gone
from tests.support.processes import wait_for
from transports.codecs import provision_pb2 as wire

STRANGER = "$share/any//provision/request/+"


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_own_topics_give_a_device_its_credentials_and_an_eavesdropper_nothing(site: MakeSite, version: str):
    here = site()
    bridge = here.start_bridge()
    everything = ("#", "/provision/#", "/provision/response/+", "/provision/response/d1", "/provision/request/+", STRANGER)
    eve = here.broker.listener(*everything, client_id="eve", version=version)

    answer = ask(here, "d1", here.body("d1"), version)

    assert json.loads(answer)["status"] == "SUCCESS"
    assert eve.heard == []
    eve.close()
    assert bridge.stop() == 0


def test_mqtt_5_response_topic_with_correlation_data_is_honoured_below_the_own_topic(site: MakeSite):
    here = site()
    here.start_bridge()

    answer = here.broker.request("/provision/request/d1", "/provision/response/d1", here.body("d1").decode(), client_id="d1")

    assert json.loads(answer)["status"] == "SUCCESS", answer


def test_protobuf_request_is_answered_in_protobuf(site: MakeSite):
    here = site()
    here.start_bridge()
    request = wire.ProvisionDeviceRequestMsg(deviceName="proto-1")
    request.provisionDeviceCredentialsMsg.provisionDeviceKey = here.profile["key"]
    request.provisionDeviceCredentialsMsg.provisionDeviceSecret = here.profile["secret"]

    answer = ask(here, "p1", request.SerializeToString())

    assert wire.ProvisionDeviceResponseMsg.FromString(answer).status == wire.SUCCESS


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_shared_topic_is_answered_when_the_operator_allows_it(site: MakeSite, version: str):
    here = site(shared=True, MQTT_ALLOW_SHARED_RESPONSES="true")
    here.start_bridge()
    device = here.broker.listener("/provision/response", version=version)

    here.broker.publish("/provision/request", here.body("old-1"), version=version)

    assert answers(device)[0]["status"] == "SUCCESS"
    device.close()


def test_shared_topic_is_not_answered_without_the_option_and_the_log_and_heartbeat_say_so(site: MakeSite):
    here = site(shared=True)
    bridge = here.start_bridge()
    device = here.broker.listener("/provision/response")
    wait_for(lambda: "Unmodified firmware" in bridge.output(), "the probe's verdict")

    here.broker.publish("/provision/request", here.body("old-1"))
    wait_for(lambda: "was not answered" in bridge.output(), "the warning")
    answer = here.broker.request("/provision/request/n1", "/provision/response/n1", here.body("new-1").decode(), client_id="n1")

    assert json.loads(answer)["status"] == "SUCCESS"
    assert device.heard == []
    assert bridge.output().count("Unmodified firmware") == 1
    wait_for(lambda: "only for firmware that uses topics of its own" in here.notes(), "the heartbeat")
    assert here.count("devices.Device") == 1
    device.close()


def test_open_broker_is_found_leaking_and_no_probe_becomes_an_attempt(site: MakeSite):
    here = site(open_to_all=True)
    bridge = here.start_bridge()

    wait_for(lambda: "any client can read them" in bridge.output(), "the probe's verdict")

    wait_for(lambda: "any client can read them" in here.notes(), "the heartbeat")
    assert here.count("provisioning.ProvisionAttempt") == here.count("provisioning.RejectedRequest") == 0


def test_oversized_and_malformed_requests_are_answered_with_failure(site: MakeSite):
    here = site()
    here.start_bridge()

    for body in (b"x" * 70_000, b"[" * 5_000, b"{}", b"\xff\xfe"):
        assert json.loads(ask(here, "d1", body))["status"] == "FAILURE", body[:10]


def test_tls_for_devices_and_with_a_certificate_of_the_bridges_own(site: MakeSite):
    here = site(tls=True)
    bridge = here.start_bridge()

    assert json.loads(ask(here, "d1", here.body("d1")))["status"] == "SUCCESS"
    assert json.loads(here.broker.request_over_tls("d2", here.body("d2").decode()))["status"] == "SUCCESS"
    assert "mqtts://localhost" in bridge.output()


def test_log_of_the_broker_has_no_access_token(site: MakeSite):
    here = site()
    token = "token-of-a-device-0001"

    # The second one has connected when the broker has long done with the first one.
    for client_id in ("meter-1", "meter-2"):
        gone(connected(here.broker.device_port, client_id=client_id, username=token))

    log = (here.broker.folder / "log").read_text()
    assert log
    assert token not in log


def answers(listener: Any, count: int = 1, timeout_s: float = 30.0) -> list[dict[str, Any]]:
    return [json.loads(body) for body in listener.wait(count, timeout_s)]
