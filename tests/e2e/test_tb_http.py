"""ThingsBoard's own HTTP client provisions itself and works with what it got, unmodified."""

import pytest

from tests.support.stack import Stack

SCRIPT = """
import json, sys
from tb_device_http import TBHTTPDevice, TBProvisionFailure
url, name, key, secret = sys.argv[1:]
device = TBHTTPDevice.provision(url, name, key, secret)
device.send_telemetry({"temperature": 21.5}, queued=False)
device.send_attributes({"firmware": "1.0"})
try:
    TBHTTPDevice.provision(url, name, key, secret)
except TBProvisionFailure as err:
    refusal = err.args[0]
print(json.dumps({"token": device.token, "refusal": refusal}))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("tb-http"), "web") as started:
        yield started


def test_thingsboards_http_client_provisions_and_sends(stack, tb_client):
    profile = stack.create_profile("http clients")

    result = tb_client.run(SCRIPT, stack.url, "tb-http-1", profile["key"], profile["secret"])

    assert result["refusal"]["errorMsg"] == "Failed to provision device!"
    code = (
        "from devices.models import Device;"
        "device = Device.objects.get(name='tb-http-1');"
        "print(device.credentials.value, device.telemetry.get(key='temperature').value,"
        " device.attributes.get(key='firmware', scope='CLIENT_SCOPE').value)"
    )
    assert stack.manage("shell", "-v0", "-c", code).split() == [result["token"], "21.5", "1.0"]
