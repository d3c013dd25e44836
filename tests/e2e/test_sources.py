"""64 requests for one device at the same moment, through two sources: exactly one succeeds."""

import asyncio
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiocoap import POST, Context, Message

from tests.support.stack import stack_on

AT_EACH_SOURCE = 32


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stack(request, tmp_path_factory):
    with stack_on(request.param, tmp_path_factory.mktemp("sources"), "web", "coap") as started:
        yield started


def request_everywhere(stack, profile, name):
    """Return the answers to the same request, sent 64 times at once over HTTP and CoAP."""
    start = threading.Barrier(AT_EACH_SOURCE + 1)
    body = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"], "deviceName": name}

    def over_http(_):
        start.wait(30)
        return stack.provision(profile, deviceName=name)

    async def over_coap():
        contexts = [await Context.create_client_context() for _ in range(AT_EACH_SOURCE)]
        uri = f"coap://127.0.0.1:{stack.coap_port}/api/v1/provision"
        await asyncio.to_thread(start.wait, 30)
        sent = [context.request(Message(code=POST, uri=uri, payload=json.dumps(body).encode())).response for context in contexts]
        answers = [json.loads((await answer).payload) for answer in sent]
        for context in contexts:
            await context.shutdown()
        return answers

    with ThreadPoolExecutor(AT_EACH_SOURCE + 1) as pool:
        coap = pool.submit(asyncio.run, over_coap())
        return [*pool.map(over_http, range(AT_EACH_SOURCE)), *coap.result(60)]


def assert_one_succeeded(stack, answers, name):
    assert Counter(answer["status"] for answer in answers) == {"SUCCESS": 1, "FAILURE": 2 * AT_EACH_SOURCE - 1}
    count = (
        "from devices.models import *; from provisioning.models import *;"
        f"device = Device.objects.get(name='{name}');"
        "print(device.credentials.value, device.attributes.get(key='provisionState').value,"
        f" ProvisionAttempt.objects.filter(device=device).count(), ProvisionAttempt.objects.filter(device_name='{name}').count())"
    )
    (winner,) = (answer for answer in answers if answer["status"] == "SUCCESS")
    printed = stack.manage("shell", "-c", count).splitlines()[-1]
    assert printed == f"{winner['accessToken']} provisioned 1 {2 * AT_EACH_SOURCE}"


def test_one_new_name_is_given_once(stack):
    profile = stack.create_profile("create")

    assert_one_succeeded(stack, request_everywhere(stack, profile, "new"), "new")


def test_one_pre_provisioned_device_is_claimed_once(stack):
    profile = stack.create_profile("check", "CHECK_PRE_PROVISIONED_DEVICES")
    stack.manage(
        "shell",
        "-c",
        "from devices.services import device_create; from profiles.models import DeviceProfile;"
        "device_create(name='waiting', profile=DeviceProfile.objects.get(name='check'))",
    )

    assert_one_succeeded(stack, request_everywhere(stack, profile, "waiting"), "waiting")
