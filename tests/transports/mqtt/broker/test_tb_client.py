"""tb-mqtt-client from PyPI, unmodified, as a device and as a gateway.

thingsboard-gateway is built on it: this is the small form of tests/soak/test_gateway.py.
"""

from concurrent.futures import ThreadPoolExecutor

from tests.support.processes import wait_for

# `client` is connected and has the answer to getSessionLimits when the rest begins.
CONNECT = """
import json, sys, time
from tb_device_mqtt import TBDeviceMqttClient
from tb_gateway_mqtt import TBGatewayMqttClient

def wait_for(condition):
    give_up = time.monotonic() + 60
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.01)  # a script of its own interpreter, without the helpers of the tests

def finish(*results):
    client.disconnect()
    client.stop()
    print(json.dumps(results))

answers, updates = [], []
client = CLASS("127.0.0.1", int(sys.argv[1]), sys.argv[2])
client.connect()
wait_for(client.is_connected)
wait_for(lambda: client.rate_limits_received)
"""
AS_DEVICE = (
    CONNECT.replace("CLASS", "TBDeviceMqttClient")
    + """
codes = [client.send_attributes({"firmware": "2"}).get()]
client.request_attributes(["firmware"], ["target"], lambda content, _error: answers.append(content))
wait_for(lambda: answers)
changed = {"target": 8}
client.subscribe_to_all_attributes(lambda content, _error: updates.append(content))
codes.append(client.send_telemetry({"temperature": 21.5}).get())
wait_for(lambda: changed in updates)
finish(client.rate_limits_received, codes, answers, updates)
"""
)
AS_GATEWAY = (
    CONNECT.replace("CLASS", "TBGatewayMqttClient")
    + """
codes = [client.gw_connect_device("tb child").get(), client.gw_send_attributes("tb child", {"firmware": "3"}).get()]
client.gw_request_client_attributes("tb child", ["firmware"], lambda content, _error: answers.append(content))
wait_for(lambda: answers)
changed = {"device": "tb child", "data": {"target": 8}}
client.gw_subscribe_to_all_attributes(updates.append)
codes.append(client.gw_send_telemetry("tb child", {"temperature": 7.5}).get())
wait_for(lambda: changed in updates)
codes.append(client.gw_disconnect_device("tb child").get())
finish(client.rate_limits_received, codes, answers, updates)
"""
)
ADD_GATEWAY = """
from devices.services import device_create
from profiles.models import DeviceProfile
profile, _ = DeviceProfile.objects.get_or_create(name="tests")
result = device_create(name="tb gateway", profile=profile, gateway=True).credentials.value
"""
SET_SHARED = """
from devices.models import Device
from devices.services import shared_attributes_set
shared_attributes_set(device=Device.objects.get(name=given["name"]), values=given["values"])
"""


def lived(broker, tb_client, script, token, name):
    """Return what `script` reports; the shared attribute `target` of device `name` changes once its telemetry is stored."""
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(tb_client.run, script, broker.port, token)
        wait_for(lambda: broker.telemetry().get(name) or running.done(), "the telemetry", 90)
        if not running.done():
            broker.shell(SET_SHARED, name=name, values={"target": 8})
        return running.result()


def test_device_is_served_unmodified(broker, tb_client):
    token = broker.add_device("tb device")
    broker.shell(SET_SHARED, name="tb device", values={"target": 7})

    has_limits, codes, answers, updates = lived(broker, tb_client, AS_DEVICE, token, "tb device")

    assert (has_limits, codes) == (True, [0, 0])
    assert answers == [{"client": {"firmware": "2"}, "shared": {"target": 7}}]
    # Before it, it may have received 7 as a change.
    assert updates[-1] == {"target": 8}
    assert broker.telemetry()["tb device"] == {"temperature": 21.5}
    assert broker.attributes("tb device") == {"firmware": "2"}


def test_gateway_is_served_unmodified(broker, tb_client):
    token = broker.shell(ADD_GATEWAY)

    has_limits, codes, answers, updates = lived(broker, tb_client, AS_GATEWAY, token, "tb child")

    assert (has_limits, codes) == (True, [0, 0, 0, 0])
    (answer,) = answers
    assert (answer["device"], answer["values"]) == ("tb child", {"firmware": "3"})
    assert updates == [{"device": "tb child", "data": {"target": 8}}]
    assert broker.telemetry()["tb child"] == {"temperature": 7.5}
    assert broker.attributes("tb child") == {"firmware": "3"}
