"""thingsboard-gateway from PyPI, unmodified: it provisions, connects with what it got, and reports for a child."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.processes import Server, free_port, wait_for
from tests.support.shell import DjangoShell
from tests.support.stack import ROOT, Stack

FOLDER = ROOT / ".venv-tb-gateway"
# `make lock` pins it and all it needs.
REQUIREMENTS = Path(__file__).with_name("thingsboard-gateway.txt")
PATIENCE_S = 180
STORED = """
from devices.models import LatestTelemetry
result = list(LatestTelemetry.objects.filter(device__name=given["child"], device__parent_gateway__name=given["gateway"])
              .values_list("key", "value"))
"""
SET_SHARED = """
from devices.models import Device
from devices.services import shared_attributes_set
shared_attributes_set(device=Device.objects.get(name=given["child"]), values={"target": 7})
"""
pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


class Thermometer(BaseHTTPRequestHandler):
    """What the gateway's request connector polls; a shared attribute that it receives comes back as a request."""

    told: list[str]

    def do_GET(self):
        if self.path.startswith("/target"):
            self.told.append(self.path)
        body = json.dumps({"temperature": 21.5}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


class OnePort:
    """Plain MQTT and TLS on one port, by their first byte: the gateway provisions without TLS and then connects with it."""

    def __init__(self, plain_port, tls_port):
        self._ports = {True: tls_port, False: plain_port}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        is_tls = connection.recv(1, socket.MSG_PEEK) == b"\x16"
        other = socket.create_connection(("127.0.0.1", self._ports[is_tls]))
        threading.Thread(target=self._copy, args=(other, connection), daemon=True).start()
        self._copy(connection, other)

    def _copy(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def program():
    """Return the gateway's Python, installing it where it is missing."""
    python = FOLDER / "bin" / "python"
    ready = FOLDER / "installed.txt"
    if not ready.exists() or ready.read_text() != REQUIREMENTS.read_text():
        shutil.rmtree(FOLDER, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True, capture_output=True)
        command = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", REQUIREMENTS]
        subprocess.run(command, check=True, capture_output=True)
        shutil.copy(REQUIREMENTS, ready)
    return python


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("stack"), MQTT_TLS_PORT=str(free_port())) as running:
        yield running


@pytest.fixture(scope="module")
def thermometer():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Thermometer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def configure(folder: Path, port: int, provisioning: dict[str, str], thermometer: int, child: str) -> None:
    polled = {
        "url": "values",
        "httpMethod": "GET",
        "timeout": 5,
        "scanPeriod": 1,
        "converter": {
            "type": "json",
            "deviceNameJsonExpression": child,
            "deviceTypeJsonExpression": "default",
            "telemetry": [{"key": "temperature", "type": "double", "value": "${temperature}"}],
            "attributes": [],
        },
    }
    told = {
        "httpMethod": "GET",
        "timeout": 5,
        "tries": 3,
        "deviceNameFilter": ".*",
        "attributeFilter": ".*",
        "requestUrlExpression": "target",
        "requestValueExpression": "${attributeKey}=${attributeValue}",
    }
    connector = {"host": f"http://127.0.0.1:{thermometer}", "SSLVerify": False, "security": {"type": "anonymous"}}
    connector |= {"mapping": [polled], "attributeUpdates": [told], "serverSideRpc": []}
    general = {
        "thingsboard": {
            "host": "localhost",
            "port": port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "checkConnectorsConfigurationInSeconds": 60,
            "provisioning": provisioning,
            "qos": 1,
        },
        "storage": {"type": "memory", "read_records_count": 100, "max_records_count": 1000},
        "grpc": {"enabled": False},
        "connectors": [{"name": "poller", "type": "request", "configuration": "request.json"}],
    }
    folder.mkdir()
    (folder / "tb_gateway.json").write_text(json.dumps(general))
    (folder / "request.json").write_text(json.dumps(connector))


@pytest.mark.parametrize("kind", ["ACCESS_TOKEN", "MQTT_BASIC", "X509_CERTIFICATE"])
def test_gateway_provisions_and_its_child_s_values_arrive(tmp_path, program, stack, thermometer, kind):
    Thermometer.told = []
    gateway, child = f"gateway {kind}", f"child {kind}"
    profile = stack.create_profile(f"profile {kind}")
    pair = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}
    provisioning = {"type": kind, "deviceName": gateway, **pair}
    if kind == "X509_CERTIFICATE":
        provisioning["caCert"] = f"{stack.environment['FIRSTLIGHT_DATA']}/tls/ca.pem"
    port = OnePort(stack.mqtt_port, int(stack.environment["MQTT_TLS_PORT"])).port
    configure(tmp_path / "config", port, provisioning, thermometer, child)
    installed = next(FOLDER.glob("lib/python3*/site-packages/thingsboard_gateway/config/logs.json"))
    shutil.copy(installed, tmp_path / "config")
    environment = os.environ | {"TB_GW_CONFIG_DIR": f"{tmp_path / 'config'}/"}
    environment.pop("PYTHONPATH", None)
    shell = DjangoShell(stack.environment)
    command = [str(program), "-c", "from thingsboard_gateway.tb_gateway import main; main()"]
    running = Server(command, tmp_path / "gateway.log", env=environment, cwd=tmp_path)
    try:
        started = time.monotonic()
        wait_for(lambda: shell.run(STORED, child=child, gateway=gateway), "the child's values", PATIENCE_S)
        assert shell.run(STORED, child=child, gateway=gateway) == [["temperature", 21.5]]
        print(f"{kind}: the child's first value came after {time.monotonic() - started:.0f} s")

        shell.run(SET_SHARED, child=child)

        wait_for(lambda: Thermometer.told, "the changed attribute", PATIENCE_S)
    except AssertionError as err:
        raise AssertionError(f"{err}\n{running.output()[-4000:]}") from None
    finally:
        running.kill()
        shell.close()
