"""What Firstlight itself takes when brokers ask: snapshots, admissions over HTTP, and the time from block to kick."""

import json
import random
import socket
import statistics
import time
import urllib.request
from functools import partial
from pathlib import Path

from benchmarks.installation import Installation
from benchmarks.loads import http
from benchmarks.loads.outcome import percentile
from benchmarks.preload import preload
from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import CONNACK_ACCEPTED, connect_packet
from tests.support.processes import wait_for
from tests.support.shell import DjangoShell

CONNECTIONS = 64
# Devices that ask for admission in turn, and are blocked one after the other.
KNOWN = 200
DEADLINE_S = 60.0

_CREATE = """
from devices.credentials import AccessToken
from devices.services import device_create
from profiles.models import DeviceProfile
profile = DeviceProfile.objects.get(pk=given["profile"])
for number in range(given["count"]):
    device_create(name=f"known-{number:08}", profile=profile, credentials=AccessToken(f"token-of-device-{number:08}"))
"""
_BLOCK = """
import time
from devices.bulk_services import devices_block
from devices.models import Device
devices_block(devices=Device.objects.filter(name=given["name"]))
result = time.time()
"""


def measure(folder: Path, built: Path, devices: int, rounds: int, seconds: float) -> dict[str, float]:
    """Return the figures, with `devices` devices on PostgreSQL. `built` has the plugin."""
    with Installation() as installation:
        made = installation.create_profile("benchmark", "ALLOW_CREATE_NEW_DEVICES")
        http.run(port=installation.http_port, connections=4, seconds=2, names="warm", key=made["key"], secret=made["secret"])
        preload(installation, made, devices, 1)
        shell = DjangoShell(installation.environment)
        try:
            shell.run(_CREATE, profile=made["id"], count=KNOWN)
            return (
                _snapshots(installation, devices)
                | _admissions(installation, rounds, seconds)
                | _kicks(installation, folder, built, shell)
            )
        finally:
            shell.close()


def _snapshots(installation: Installation, devices: int) -> dict[str, float]:
    """Return how long the first snapshot of a broker takes, which decrypts every credential, and the next."""
    broker = _broker(installation, "snapshots", "mosquitto")
    request = urllib.request.Request(f"{broker['url']}/snapshot", headers={"Authorization": f"Bearer {broker['secret']}"})
    return {"first_snapshot_s": _seconds_of(request, devices), "next_snapshot_s": _seconds_of(request, devices)}


def _seconds_of(request: urllib.request.Request, devices: int) -> float:
    begin = time.monotonic()
    lines = 0
    with urllib.request.urlopen(request, timeout=600) as answer:
        while block := answer.read1(1 << 20):
            lines += block.count(b"\n")
    assert lines > devices
    return time.monotonic() - begin


def _admissions(installation: Installation, rounds: int, seconds: float) -> dict[str, float]:
    """Return admissions a second, and the ratio to a view that does nothing, each round next to the other's."""
    broker = _broker(installation, "calls", "generic")
    ask = partial(
        http.admissions,
        port=installation.http_port,
        connections=CONNECTIONS,
        broker=broker["id"],
        secret=broker["secret"],
        devices=KNOWN,
    )
    greet = partial(http.run, port=installation.hello_port, connections=CONNECTIONS, names="x", key="x", secret="x")
    ask(seconds=2)
    greet(seconds=2)
    pairs = []
    for _ in range(rounds):
        hello = greet(seconds=seconds)
        admitted = ask(seconds=seconds)
        assert not hello.refused, "the view that does nothing answered with errors"
        assert not admitted.refused, "devices were denied"
        pairs.append((hello.per_second, admitted.per_second))
    return {
        "hello_per_second": statistics.median(hello for hello, _ in pairs),
        "http_admissions_per_second": statistics.median(admitted for _, admitted in pairs),
        "http_admissions_ratio": statistics.median(admitted / hello for hello, admitted in pairs),
    }


def _kicks(installation: Installation, folder: Path, built: Path, shell: DjangoShell) -> dict[str, float]:
    """Return median and 99th percentile of the time from a block to the end of the session, for one device after the other."""
    row = _broker(installation, "kicks", "mosquitto")
    url = f"http://127.0.0.1:{installation.http_port}"
    broker = PluginMosquitto(folder / "kicks", built, url, broker=row["id"], secret=row["secret"], sanitized=False)
    broker.start()
    try:
        wait_for(lambda: "a new list of" in broker.log, "the list of devices", timeout_s=600)
        times = sorted(_kick(shell, broker.port, number) for number in range(KNOWN))
    finally:
        broker.stop()
    return {"kick_p50_s": percentile(times, 0.5), "kick_p99_s": percentile(times, 0.99)}


def _kick(shell: DjangoShell, port: int, number: int) -> float:
    """Return how many seconds after its block was committed a device was disconnected."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as client:
        client.sendall(connect_packet(client_id=f"client-{number}", username=f"token-of-device-{number:08}"))
        assert client.recv(4) == CONNACK_ACCEPTED
        # Else each block would come at the same moment of the interval in which Firstlight reads its events.
        time.sleep(random.random() / 2)
        committed = float(shell.run(_BLOCK, name=f"known-{number:08}"))
        assert client.recv(4) == b""
        return max(0.0, time.time() - committed)


def _broker(installation: Installation, name: str, kind: str) -> dict[str, str]:
    made: dict[str, str] = json.loads(installation.manage("create_broker", name, "--kind", kind, "--json").splitlines()[-1])
    return made
