"""Observe on …/attributes, with aiocoap's client: a device hears of its shared attributes as they change."""

import asyncio
import json

import aiocoap
import pytest
from aiocoap import GET, Code, Message
from aiocoap.numbers.types import CON

from tests.transports.coap.service import request

pytestmark = pytest.mark.database
PATIENCE_S = 90


def registered(service, profile, name):
    """Return the path of the attributes of a new device, whose token is its name."""
    output, _ = service.coap_client(payload=json.dumps(profile | {"deviceName": name, "token": f"token-of-{name}"}).encode())
    assert "2.01" in output
    return ("api", "v1", f"token-of-{name}", "attributes")


def act(service, name, code):
    """Run `code` in another process, as an operator's change would be; `device` is at hand."""
    lines = [
        "from devices.models import Device",
        "from devices import bulk_services, services",
        f"devices = Device.objects.filter(name='{name}')",
        "device = devices.get()",
        code,
    ]
    service.manage("shell", "--verbosity", "0", "--command", "\n".join(lines))


async def observing(service, path, scenario):
    """Run `scenario` with what returns the next message of an observation of `path`."""
    context = await aiocoap.Context.create_client_context()
    try:
        message = Message(code=GET, uri=f"coap://{service.host}:{service.port}/{'/'.join(path)}", observe=0)
        observed = context.request(message)
        first = await observed.response
        assert first.opt.observe is not None
        updates = observed.observation.__aiter__()
        return first, await scenario(updates.__anext__)
    finally:
        await context.shutdown()


async def until(next_update, expected):
    """Wait for the update `expected`; one before it may come again."""
    while json.loads((await next_update()).payload) != expected:
        pass


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def test_changed_and_deleted_attributes_arrive(service, profile):
    path = registered(service, profile, "observer")
    act(service, "observer", "services.shared_attributes_set(device=device, values={'interval': 5})")

    async def scenario(next_update):
        await asyncio.to_thread(act, service, "observer", "services.shared_attributes_set(device=device, values={'interval': 7})")
        await until(next_update, {"interval": 7})
        await asyncio.to_thread(act, service, "observer", "services.shared_attributes_delete(device=device, keys=['interval'])")
        await until(next_update, {"deleted": ["interval"]})

    first, _ = run(observing(service, path, scenario))

    assert json.loads(first.payload) == {"shared": {"interval": 5}}


def test_large_update_comes_with_all_attributes_block_wise(service, profile):
    path = registered(service, profile, "large")

    async def scenario(next_update):
        await asyncio.to_thread(act, service, "large", "services.shared_attributes_set(device=device, values={'a': 'x' * 5000})")
        await until(next_update, {"shared": {"a": "x" * 5000}})

    run(observing(service, path, scenario))


@pytest.mark.parametrize("action", ["block", "delete", "reissue_credentials"])
def test_device_that_may_no_longer_know_hears_4_01(service, profile, peer, action):
    path = registered(service, profile, action)
    first = peer.ask(request(path=path, code=GET, mid=1, token=b"o", observe=0))
    assert first.code == Code.CONTENT

    act(service, action, f"bulk_services.devices_{action}(devices=devices)")

    last = peer.receive()
    assert (last.code, last.token, last.opt.observe) == (Code.UNAUTHORIZED, b"o", None)


def test_deregistered_observer_hears_nothing_more(service, profile, peer):
    path = registered(service, profile, "leaver")
    peer.ask(request(path=path, code=GET, mid=1, token=b"o", observe=0))
    assert peer.ask(request(path=path, code=GET, mid=2, token=b"o", observe=1)).opt.observe is None
    act(service, "leaver", "services.shared_attributes_set(device=device, values={'a': 1})")

    answer = peer.ask(request(path=path, code=GET, mid=3, token=b"p", observe=0))

    assert (answer.token, answer.mid) == (b"p", 3)
    act(service, "leaver", "services.shared_attributes_set(device=device, values={'a': 2})")
    body = None
    while body != {"a": 2}:
        # An earlier change may be heard of twice, but not under the token that was given up.
        update = peer.receive()
        assert (update.token, update.mtype) == (b"p", CON)
        peer.acknowledge(update)
        body = json.loads(update.payload)


def test_unknown_token_answers_4_01(peer):
    answer = peer.ask(request(path=("api", "v1", "nobody", "attributes"), code=GET, mid=4, observe=0))

    assert answer.code == Code.UNAUTHORIZED
