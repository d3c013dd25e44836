"""`kill -9` of any process in the middle of 2,000 requests: nothing half-made, and who retries gets its credentials."""

import asyncio
import http.client
import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiocoap import POST, Context, Message
from aiocoap.error import Error as CoapError

from tests.support.processes import wait_for
from tests.support.stack import Stack

DEVICES = 2_000
AT_ONCE = 16
TIMEOUT_S = 10
# After so many answers, this process is killed; what keeps the processes starts it anew.
KILLS = [(200, "web"), (450, "coap"), (800, "web"), (1_100, "coap"), (1_500, "web")]


class Fleet:
    """Devices that ask, each with an idempotency key, until they have an answer."""

    def __init__(self, stack: Stack, profile: dict[str, str]) -> None:
        self.stack = stack
        self.pair = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}
        self.answers: dict[str, dict[str, str]] = {}
        self.tries = 0

    def ask_all(self) -> None:
        """Let the even devices ask over HTTP, the odd ones over CoAP, all at once."""
        names = [f"device-{number:04}" for number in range(DEVICES)]
        coap = threading.Thread(target=lambda: asyncio.run(self._ask_over_coap(names[1::2])))
        coap.start()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._ask_over_http, names[::2]))
        coap.join()

    def _body(self, name: str) -> bytes:
        self.tries += 1
        return json.dumps(self.pair | {"deviceName": name, "idempotencyKey": f"the key of {name}"}).encode()

    def _take(self, name: str, body: bytes) -> None:
        answer = json.loads(body)
        # While the database is locked or a process stops the answer is a FAILURE that says to ask again.
        if "again" not in answer.get("errorMsg", ""):
            self.answers[name] = answer

    def _ask_over_http(self, name: str) -> None:
        while name not in self.answers:
            connection = http.client.HTTPConnection("127.0.0.1", self.stack.http_port, timeout=TIMEOUT_S)
            try:
                connection.request("POST", "/api/v1/provision", self._body(name))
                self._take(name, connection.getresponse().read())
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                wait_for(lambda: self.stack.pids("web"), "the web process to be started anew")
            finally:
                connection.close()

    async def _ask_over_coap(self, names: list[str]) -> None:
        waiting = iter(names)
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._ask_some_over_coap(waiting))

    async def _ask_some_over_coap(self, waiting) -> None:
        context = await Context.create_client_context()
        uri = f"coap://127.0.0.1:{self.stack.coap_port}/api/v1/provision"
        for name in waiting:
            while name not in self.answers:
                request = Message(code=POST, uri=uri, payload=self._body(name))
                try:
                    self._take(name, (await asyncio.wait_for(context.request(request).response, TIMEOUT_S)).payload)
                except (CoapError, OSError, TimeoutError):
                    await context.shutdown()
                    context = await Context.create_client_context()
        await context.shutdown()


@pytest.fixture
def stack(tmp_path):
    with Stack(tmp_path, "web", "coap") as started:
        yield started


@pytest.mark.timeout(300)
def test_kill_9_in_the_middle_of_2000_requests_leaves_nothing_half_made(stack):
    fleet = Fleet(stack, stack.create_profile("killed"))
    asking = threading.Thread(target=fleet.ask_all)
    asking.start()
    for answered, name in KILLS:
        wait_for(lambda answered=answered: len(fleet.answers) >= answered, f"{answered} answers", timeout_s=120)
        stack.kill(name)
        wait_for(lambda name=name: stack.pids(name), f"{name} to be started anew")
    asking.join(120)

    assert len(fleet.answers) == DEVICES
    assert {answer["status"] for answer in fleet.answers.values()} == {"SUCCESS"}
    assert all(answer["deviceName"] == name for name, answer in fleet.answers.items())
    assert len({answer["accessToken"] for answer in fleet.answers.values()}) == DEVICES
    # Killed in the middle of something: some asked more than once.
    assert fleet.tries > DEVICES

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
    for name in list(fleet.answers)[::100]:
        connection = http.client.HTTPConnection("127.0.0.1", stack.http_port, timeout=TIMEOUT_S)
        connection.request("POST", f"/api/v1/{fleet.answers[name]['accessToken']}/telemetry", b'{"alive": true}')
        assert connection.getresponse().status == 200
        connection.close()
