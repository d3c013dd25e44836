"""ThingsBoard's own client, tb-mqtt-client from PyPI, unmodified.

It brings a fork of paho under the name of paho itself, so it lives in a virtual environment of its own, `.venv-tb` beside
the code, which is made on first use. A test hands it a script and gets back what the script prints as JSON.
"""

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

VERSION = "1.13.14"
FOLDER = Path(__file__).resolve().parent.parent.parent / ".venv-tb"

# Devices, each in a thread of its own: provisions, connects with what it was given, sends telemetry.
LIVES = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from tb_device_mqtt import TBDeviceMqttClient
port, key, secret, devices = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
def live(number):
    name = f"tb-{number}"
    reply = TBDeviceMqttClient.provision("127.0.0.1", key, secret, port=port, device_name=name)
    client = TBDeviceMqttClient("127.0.0.1", port, reply["credentialsValue"])
    client.connect()
    give_up = time.monotonic() + 60
    while not client.is_connected() and time.monotonic() < give_up:
        time.sleep(0.01)  # the client drops what it sends before its CONNACK
    code = client.send_telemetry({"name": name}).get()
    client.disconnect()
    client.stop()
    return [name, reply["credentialsValue"], code]
with ThreadPoolExecutor(devices) as threads:
    print(json.dumps(list(threads.map(live, range(devices)))))
"""


class TbClient:
    """Runs scripts that import `tb_device_mqtt` and `tb_device_http`."""

    def __init__(self, python: Path) -> None:
        self._python = python

    def run(self, script: str, *arguments: object, timeout_s: float = 120) -> Any:
        """Return what is in the last line that `script` prints, JSON. `arguments` are its sys.argv[1:]."""
        command = [str(self._python), "-c", script, *(str(one) for one in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def tb_client() -> TbClient:
    """Return the client, installing it when it is not there yet."""
    FOLDER.mkdir(exist_ok=True)
    ready = FOLDER / f"tb-mqtt-client-{VERSION}"
    with (FOLDER / "lock").open("w") as lock:
        # Several workers of pytest-xdist may come here at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            _install()
            ready.touch()
    return TbClient(FOLDER / "bin" / "python")


def _install() -> None:
    subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True, capture_output=True)
    command = [str(FOLDER / "bin" / "pip"), "install", "--quiet", f"tb-mqtt-client=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"tb-mqtt-client is missing; install it with: {' '.join(command)}\n{done.stderr}"
