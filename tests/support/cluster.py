"""Firstlight as in production: several of each process on one PostgreSQL and one Mosquitto with deploy/'s configuration."""

import json
import socket
import sys
from pathlib import Path
from typing import Self

import psutil

from tests.support.databases import installation
from tests.support.mosquitto import Mosquitto
from tests.support.postgres import Postgres
from tests.support.processes import Server, free_port, listens, wait_for
from tests.support.sources import Ports
from tests.support.web import ROOT, create_profile, manage

DATABASE = "firstlight"
START_S = 120.0
MIB = 1024 * 1024


class Cluster:
    """`each` web servers, bridges and CoAP servers, called web1, bridge1, coap1 and so on. Nothing restarts them but the test."""

    def __init__(self, folder: Path, postgres: Postgres, *, each: int = 2) -> None:
        self.postgres = postgres
        self.broker = Mosquitto(folder / "broker")
        self.http_ports = [free_port() for _ in range(each)]
        self.coap_ports = [free_port(socket.SOCK_DGRAM) for _ in range(each)]
        self.servers: dict[str, Server] = {}
        self._folder = folder
        self._numbers = range(1, each + 1)
        settings = self.broker.settings | {"DATABASE_URL": postgres.url(DATABASE), "LOG_LEVEL": "WARNING"}
        self.environment = installation(folder / "site", **settings)

    def __enter__(self) -> Self:
        try:
            self.broker.start()
            for number in self._numbers:
                for kind in ("web", "bridge", "coap"):
                    self.start(f"{kind}{number}")
            self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers.values():
            server.kill()
        self.broker.stop()

    @property
    def ports(self) -> Ports:
        return Ports(self.http_ports, self.coap_ports, self.broker.device_port)

    def start(self, name: str) -> None:
        """Start a process, or start it again after its end."""
        kind, index = name[:-1], int(name[-1]) - 1
        manage = [sys.executable, "manage.py"]
        command = {
            "web": [*manage, "http_server"],
            "bridge": [*manage, "mqtt_bridge"],
            "coap": [*manage, "coap_server"],
        }[kind]
        own = {
            "HTTP_PORT": str(self.http_ports[index]),
            "COAP_PORT": str(self.coap_ports[index]),
            "METRICS_DIR": str(self._folder / name),
        }
        self.servers[name] = Server(command, self._folder / f"{name}.log", env=self.environment | own, cwd=ROOT)

    def wait_until_ready(self) -> None:
        wait_for(self._is_ready, "all processes of the cluster", START_S)

    def create_profile(self, name: str) -> dict[str, str]:
        """Return id, key and secret of a new profile that allows to create devices."""
        return create_profile(self.environment, name)

    def count(self, what: str) -> int:
        """Return the count of rows, e.g. `devices_device WHERE gateway`."""
        return int(self.postgres.psql(DATABASE, f"SELECT count(*) FROM {what}"))

    def misinformed(self, profile: dict[str, str], result: dict[str, dict[str, str]]) -> list[str]:
        """Return the names of the devices that got another name or token than is stored, or that only one side knows.

        `result` are the fields of the successes by the requested name. No token is in what a failing test prints.
        """
        stored = self._tokens(profile)
        # Over MQTT the name may have been left out, for the size of the packet.
        received = {name: fields["credentialsValue"] for name, fields in result.items() if fields.get("deviceName", name) == name}
        return sorted(name for name in stored.keys() | result.keys() if stored.get(name, "none stored") != received.get(name))

    def pids(self) -> dict[str, list[int]]:
        """Return the ids of the operating system processes of each process, its workers among them."""
        roots = {name: psutil.Process(server.process.pid) for name, server in self.servers.items()}
        return {name: sorted(one.pid for one in (root, *root.children(recursive=True))) for name, root in roots.items()}

    def memory_mib(self) -> dict[str, float]:
        """Return the resident memory of each process with its workers."""
        return {name: sum(psutil.Process(pid).memory_info().rss for pid in pids) / MIB for name, pids in self.pids().items()}

    def outputs(self) -> str:
        return "".join(server.output() for server in self.servers.values())

    def _tokens(self, profile: dict[str, str]) -> dict[str, str]:
        """Return the stored tokens of the profile's provisioned devices, by device name."""
        code = (
            "import json; from devices.models import DeviceCredentials;"
            f"found = DeviceCredentials.objects.filter(device__profile={profile['id']!r}, device__provisioned_at__isnull=False,"
            " device__attributes__key='provisionState', device__attributes__value='provisioned');"
            "print(json.dumps(dict(found.values_list('device__name', 'value'))))"
        )
        found: dict[str, str] = json.loads(manage(self.environment, "shell", "-v", "0", "-c", code).splitlines()[-1])
        return found

    def _is_ready(self) -> bool:
        for name, server in self.servers.items():
            assert server.alive, f"{name} ended:\n{server.output()[-2000:]}"
        beats = self.postgres.psql(DATABASE, "SELECT instance FROM operations_heartbeat WHERE ready").splitlines()
        beating = {server.process.pid for server in self.servers.values()} & {_pid(instance) for instance in beats}
        return len(beating) == 2 * len(self._numbers) and all(listens(port) for port in self.http_ports)


def _pid(instance: str) -> int:
    return int(instance.rpartition(":")[2].partition("-")[0])
