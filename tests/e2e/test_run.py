"""What a newcomer does: `make run` on a clean copy, for real, with a virtual environment of its own.

The tests of this file are one story, in order: the first run, what it printed, its end, and the second run.
"""

import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.processes import Server, free_port, program, wait_for

ROOT = Path(__file__).resolve().parents[2]
INSTALL_S = 280.0
STOP_S = 10.0
PACKAGES = {"curl": "curl", "coap-client": "libcoap3-bin", "mosquitto_rr": "mosquitto-clients"}


class Newcomer:
    """A clean copy of the project, and the runs that were made in it."""

    def __init__(self, folder: Path) -> None:
        self.copy = folder / "firstlight"
        self.outputs: list[Server] = []
        self.ports = {
            "HTTP_PORT": str(free_port()),
            "MQTT_PORT": str(free_port()),
            "COAP_PORT": str(free_port(socket.SOCK_DGRAM)),
        }
        ours = ("FIRSTLIGHT_", "DATABASE_URL", "REDIS_URL", "MQTT_", "VIRTUAL_ENV", "PYTHONPATH", "DJANGO_", "MAKE", "MFLAGS")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | self.ports
        venv = str(Path(sys.executable).parent)
        self.environment["PATH"] = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != venv)
        self._copy_working_tree()
        self.files = set(self.copy.rglob("*"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['HTTP_PORT']}"

    def run(self) -> Server:
        """Type `make run`, and return once it says that it is ready."""
        log = self.copy.parent / f"run-{len(self.outputs)}"
        server = Server([program("make", "make"), "run"], log, env=self.environment, cwd=self.copy)
        self.outputs.append(server)
        wait_for(lambda: "Firstlight is ready" in server.output() or not server.alive, "the line that says ready", INSTALL_S)
        assert server.alive, server.output()
        return server

    def shell(self, code: str) -> str:
        """Return what `code` prints in this installation."""
        command = [str(self.copy / ".venv/bin/python"), "manage.py", "shell", "-v0", "-c", code]
        return subprocess.run(command, cwd=self.copy, env=self.environment, check=True, capture_output=True, text=True).stdout

    def processes(self) -> list[str]:
        """Return the command lines of all processes that work in the copy."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").readlink().is_relative_to(self.copy):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    def close(self) -> None:
        for server in self.outputs:
            if server.alive:
                server.process.send_signal(signal.SIGTERM)
                server.process.wait(30)

    def _copy_working_tree(self) -> None:
        listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).exists():
                (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.copy / name)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    someone = Newcomer(tmp_path_factory.mktemp("newcomer"))
    yield someone
    someone.close()


@pytest.fixture(scope="module")
def first(newcomer):
    return newcomer.run()


def printed(output: str, program_name: str) -> list[str]:
    """Return the commands that call a program, as they were printed."""
    return re.findall(rf"^  ({program_name}[^\n]*)$", output, flags=re.MULTILINE)


def execute(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(400)
def test_first_run_is_ready_with_all_five_processes(newcomer, first):
    with urllib.request.urlopen(f"{newcomer.url}/readyz") as answer:
        states = json.load(answer)["processes"]

    assert states == dict.fromkeys(("web", "mqtt_broker", "mqtt_bridge", "coap", "tasks"), "ready")
    line = next(line for line in first.output().splitlines() if "Firstlight is ready" in line)
    assert all(port in line for port in newcomer.ports.values())


def test_first_run_logs_neither_errors_nor_warnings_about_itself(first):
    log = first.output().split("is ready")[0]

    assert not re.findall(r"Traceback|\bERROR\b|No directory at|ended with code", log)


@pytest.mark.parametrize("name", ["curl", "coap-client", "mosquitto_rr"])
def test_printed_command_provisions_a_device(first, name):
    program("coap-client-notls" if name == "coap-client" else name, PACKAGES[name])
    (command,) = printed(first.output(), name)

    reply = json.loads(execute(command))

    assert (reply["status"], len(reply["credentialsValue"])) == ("SUCCESS", 20)


def test_printed_mosquitto_pub_commands_register_a_device_and_send_its_telemetry(newcomer, first):
    # Pasted together, they run one right after the other.
    execute("\n".join(["set -e", *printed(first.output(), "mosquitto_pub")]))

    value = "from devices.models import LatestTelemetry; print(*LatestTelemetry.objects.values_list('key', 'value'))"
    wait_for(lambda: newcomer.shell(value).strip() == "('temperature', 21.5)", "the measurement")


def test_printed_password_opens_the_admin_and_its_style_sheets_load(newcomer, first):
    password = re.search(r"password +(\w+)", first.output()).group(1)
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    login = f"{newcomer.url}/admin/login/?next=/admin/"
    page = opener.open(login).read().decode()
    sheets = re.findall(r'<link href="(/static/[^"]+\.css)"', page)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page).group(1)
    form = {"csrfmiddlewaretoken": token, "username": "admin", "password": password, "next": "/admin/"}

    with opener.open(urllib.request.Request(login, urllib.parse.urlencode(form).encode(), {"Referer": login})) as answer:
        assert answer.url == f"{newcomer.url}/admin/"
    assert sheets
    for sheet in sheets:
        with opener.open(newcomer.url + sheet) as answer:
            assert answer.headers["Content-Type"].startswith("text/css")


def test_everything_that_a_run_writes_is_below_var(newcomer, first):
    made = {
        path.relative_to(newcomer.copy).parts[0]
        for path in newcomer.copy.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path not in newcomer.files
    }

    assert made == {".venv", "var"}


def test_second_run_beside_the_first_says_which_port_is_in_use_and_starts_nothing(newcomer, first):
    done = subprocess.run(
        ["make", "run"], cwd=newcomer.copy, env=newcomer.environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode != 0
    sentence = done.stderr.splitlines()[0]
    assert f"Port {newcomer.ports['HTTP_PORT']} is in use; choose another one with HTTP_PORT" in sentence
    assert "started" not in done.stdout
    assert first.alive


def test_sigterm_to_make_ends_everything_in_time(newcomer, first):
    began = time.monotonic()

    first.process.send_signal(signal.SIGTERM)
    first.process.wait(STOP_S)

    wait_for(lambda: not newcomer.processes(), "all processes to be gone", began + STOP_S - time.monotonic())


@pytest.mark.timeout(120)
def test_second_run_goes_on_where_the_first_left_off(newcomer, first):
    (command,) = printed(first.output(), "curl")
    secret = re.search(r"secret +(\w+)", first.output()).group(1)

    second = newcomer.run()
    reply = json.loads(execute(command.replace("demo-http", "demo-http-again")))

    assert reply["status"] == "SUCCESS"
    assert "Installing" not in second.output()
    assert "first run" not in second.output()
    assert secret not in second.output()
    assert "make password" in second.output()
    counts = (
        "from django.contrib.auth.models import User; from profiles.models import DeviceProfile;"
        "print(User.objects.count(), DeviceProfile.objects.count())"
    )
    assert newcomer.shell(counts).split() == ["1", "1"]


def test_ctrl_c_ends_everything_in_time(newcomer, first):
    second = newcomer.outputs[-1]
    began = time.monotonic()

    os.killpg(second.process.pid, signal.SIGINT)  # a terminal signals make and all that it started
    second.process.wait(STOP_S)

    wait_for(lambda: not newcomer.processes(), "all processes to be gone", began + STOP_S - time.monotonic())
