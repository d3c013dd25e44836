"""A whole Firstlight on a PostgreSQL, a Mosquitto and a Redis of its own, in a temporary folder."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from tests.support.postgres import Postgres
from tests.support.processes import Server, free_port, listens, program, wait_for

ROOT = Path(__file__).resolve().parent.parent
BRIDGES = 2
DATABASE = "firstlight"


class Installation:
    """Started on entry, stopped and removed on exit."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="firstlight-bench-"))
        self.folder.chmod(0o755)
        self.postgres = Postgres(self.folder / "postgres")
        ports = (free_port() for _ in range(5))
        self.http_port, self.hello_port, self.mqtt_port, self.coap_port, self.redis_port = ports
        self.servers: dict[str, Server] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in reversed(self.servers.values()):
            server.stop()
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def database_url(self) -> str:
        return self.postgres.url(DATABASE)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "FIRSTLIGHT_DATA": str(self.folder / "data"),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "MQTT_BROKER_URL": f"mqtt://127.0.0.1:{self.mqtt_port}",
            "HTTP_PORT": str(self.http_port),
            "COAP_PORT": str(self.coap_port),
            "LOG_LEVEL": "WARNING",
        }

    def sql(self, text: str) -> str:
        """Return what `text` prints, unaligned."""
        return self.postgres.psql(DATABASE, text)

    def manage(self, *arguments: str) -> str:
        """Return what `manage.py` with `arguments` prints."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.run(command, env=self.environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    def create_profile(self, name: str, strategy: str) -> dict[str, str]:
        """Return id, key and secret of a new profile."""
        made: dict[str, str] = json.loads(self.manage("create_profile", name, "--strategy", strategy, "--json").splitlines()[-1])
        return made

    def _start(self) -> None:
        self.postgres.start()
        self._start_redis()
        self._start_mosquitto()
        self.manage("migrate", "--verbosity", "0")
        serve = [sys.executable, "manage.py", "http_server"]
        self._run("web", serve)
        own = {"HTTP_PORT": str(self.hello_port), "METRICS_DIR": str(self.folder / "hello-metrics")}
        self._run("hello", serve, DJANGO_SETTINGS_MODULE="benchmarks.hello", **own)
        for number in range(1, BRIDGES + 1):
            self._run(f"bridge{number}", [sys.executable, "manage.py", "mqtt_bridge"])
        self._run("coap", [sys.executable, "manage.py", "coap_server"])
        wait_for(lambda: listens(self.http_port) and listens(self.hello_port), "the web servers")
        wait_for(self._ready, "bridges and CoAP server", timeout_s=60)

    def _run(self, name: str, command: list[str], **environment: str) -> None:
        self.servers[name] = Server(command, self.folder / f"{name}.log", env=self.environment | environment, cwd=ROOT)

    def _ready(self) -> bool:
        for name, server in self.servers.items():
            assert server.alive, f"{name} ended:\n{server.output()[-2000:]}"
        ready = self.sql("SELECT process, count(*) FROM operations_heartbeat WHERE ready GROUP BY 1 ORDER BY 1")
        return ready.splitlines() == ["coap|1", f"mqtt_bridge|{BRIDGES}"]

    def _start_redis(self) -> None:
        command = [program("redis-server", "redis-server"), "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", ""]
        self._run("redis", command)
        wait_for(lambda: listens(self.redis_port), "Redis")

    def _start_mosquitto(self) -> None:
        config = self.folder / "mosquitto.conf"
        # No access control: what is measured is the bridge. deploy/mosquitto/ is tested in tests/e2e/.
        config.write_text(
            f"listener {self.mqtt_port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            "max_inflight_messages 0\nmax_queued_messages 0\nuser root\n"
        )
        self._run("mosquitto", [program("mosquitto", "mosquitto"), "-c", str(config)])
        wait_for(lambda: listens(self.mqtt_port), "Mosquitto")
