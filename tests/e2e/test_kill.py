"""`kill -9` of each process in the middle of 2,000 requests: nothing half-made, and who retries gets its credentials."""

import http.client
import sqlite3

import pytest

from tests.support.fleet import Fleet
from tests.support.processes import wait_for
from tests.support.sources import Ports
from tests.support.stack import Stack

DEVICES = 2_000
AT_ONCE_AT_EACH_SOURCE = 12
TIMEOUT_S = 10
# After so many answers, this process is killed; the supervisor restarts it.
KILLS = [
    (150, "web"),
    (300, "mqtt_bridge"),
    (450, "coap"),
    (650, "mqtt_broker"),
    (850, "tasks"),
    (1_000, "mqtt_bridge"),
    (1_200, "web"),
    (1_400, "mqtt_broker"),
    (1_600, "coap"),
]


@pytest.fixture
def stack(tmp_path):
    with Stack(tmp_path) as started:
        yield started


@pytest.mark.timeout(300)
def test_kill_9_in_the_middle_of_2000_requests_leaves_nothing_half_made(stack):
    profile = stack.create_profile("killed")
    ports = Ports([stack.http_port], [stack.coap_port], stack.mqtt_port)
    with Fleet(ports, profile, at_once=AT_ONCE_AT_EACH_SOURCE, timeout_s=TIMEOUT_S, count=DEVICES) as fleet:
        for answered, name in KILLS:
            wait_for(lambda answered=answered: len(fleet.answers) >= answered, f"{answered} answers", timeout_s=120)
            stack.kill(name)
            wait_for(lambda name=name: stack.pids(name), f"{name} to be restarted")
        fleet.join()

    result = {name: answer.fields for name, answer in fleet.answers.items()}
    assert len(result) == DEVICES
    # Over MQTT the name may have been left out, for the size of the packet.
    assert all(fields.get("deviceName", name) == name for name, fields in result.items())
    distinct_tokens = len({fields["credentialsValue"] for fields in result.values()})
    assert distinct_tokens == DEVICES
    assert set(fleet.last_success) == {"web1", "coap1", "mqtt"}
    # Killed in the middle of something: some sent their request more than once, at every source.
    assert {one.source for one in fleet.troubles} >= {"web1", "mqtt"}

    stack.wait_until_ready()
    with sqlite3.connect(stack.folder / "data" / "firstlight.sqlite3") as database:

        def count(sql):
            return database.execute(f"SELECT count(*) FROM {sql}").fetchone()[0]

        assert count("devices_device") == DEVICES
        assert count("devices_device WHERE provisioned_at IS NOT NULL") == DEVICES
        assert count("devices_devicecredentials") == DEVICES
        assert count("devices_deviceattribute WHERE key = 'provisionState'") == DEVICES
        assert count("provisioning_provisionattempt WHERE reason = 'CREATED'") == DEVICES
        assert count("provisioning_provisionattempt WHERE outcome <> 'SUCCESS'") == 0
    for name in list(result)[::100]:
        connection = http.client.HTTPConnection("127.0.0.1", stack.http_port, timeout=TIMEOUT_S)
        connection.request("POST", f"/api/v1/{result[name]['credentialsValue']}/telemetry", b'{"alive": true}')
        assert connection.getresponse().status == 200
        connection.close()
