"""Debian's RabbitMQ with its MQTT plugin, on free ports, with its own Erlang port mapper, cookie and folders."""

import os
from pathlib import Path

from tests.support.processes import Server, lasting_port, listens, program, wait_for

# Debian's wrapper in /usr/sbin insists on /var/lib/rabbitmq.
FOLDER = "/usr/lib/rabbitmq/bin"
START_S = 120.0


class RabbitMQ:
    """A node of its own. `configure` gets the text that `create_broker` prints; the management API has user `admin`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.mqtt_port, self.management_port = lasting_port(), lasting_port()
        self._amqp_port, self._dist_port, self._epmd_port = lasting_port(), lasting_port(), lasting_port()
        self._servers: list[Server] = []

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.management_port}"

    def start(self, configuration: str) -> None:
        listeners = (
            f"listeners.tcp.1 = 127.0.0.1:{self._amqp_port}\nmqtt.listeners.tcp.1 = 127.0.0.1:{self.mqtt_port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            "default_user = admin\ndefault_pass = admin-in-tests\nlog.console.level = warning\n"
        )
        (self.folder / "rabbitmq.conf").write_text(listeners + configuration)
        (self.folder / "enabled_plugins").write_text("[rabbitmq_auth_backend_http,rabbitmq_management,rabbitmq_mqtt].\n")
        environment = os.environ | {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "firstlight@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
        }
        # In the foreground: the one that Erlang starts by itself would outlive the test.
        mapper = Server([program("epmd", "erlang-base")], self.folder / "epmd.out", env=environment)
        self._servers = [mapper]
        wait_for(lambda: listens(self._epmd_port), "epmd")
        command = [program("rabbitmq-server", "rabbitmq-server", FOLDER)]
        if command[0].startswith("/usr/sbin"):
            command = [f"{FOLDER}/rabbitmq-server"]
        node = Server(command, self.folder / "out", env=environment, cwd=self.folder)
        self._servers = [node, mapper]
        wait_for(lambda: self._is_up() or not node.alive, "RabbitMQ", START_S)
        assert node.alive, node.output()

    def stop(self) -> None:
        for server in self._servers:
            server.kill()

    def _is_up(self) -> bool:
        return listens(self.mqtt_port) and listens(self.management_port)
