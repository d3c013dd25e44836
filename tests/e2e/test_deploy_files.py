"""What deploy/ says to systemd and to Docker Compose fits together, and fits the settings and commands that there are."""

import re
import shutil
import subprocess

import pytest
import yaml
from django.core.management import get_commands

from brokers.dialects.mosquitto import configuration
from brokers.models import Broker
from tests.support.processes import program
from tests.support.web import ROOT

UNITS = ("web@8081", "bridge@01", "coap", "tasks", "beat")
SETTINGS = (ROOT / "config/settings.py").read_text()
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())


def assert_is_a_setting(name):
    if name.removesuffix("_FILE") not in {"FIRSTLIGHT_ENV", "FIRSTLIGHT_DATA"}:
        assert f'"{name.removesuffix("_FILE")}"' in SETTINGS


@pytest.fixture
def root(tmp_path):
    """A system's root with our units, and the programs that they start."""
    shutil.copytree(ROOT / "deploy/systemd", tmp_path / "etc/systemd/system")
    for name in ("python", "celery"):
        path = tmp_path / "opt/firstlight/.venv/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("unit", UNITS)
def test_unit_is_hardened(root, unit):
    command = [program("systemd-analyze", "systemd"), "security", "--offline=yes", f"--root={root}", "--no-pager"]
    # In tenths: above 2.0 the command fails.
    done = subprocess.run([*command, "--threshold=20", f"firstlight-{unit}.service"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_units_are_valid(root):
    units = [f"firstlight-{unit}.service" for unit in UNITS]
    command = [program("systemd-analyze", "systemd"), "verify", f"--root={root}", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # There is no rest of a system in `root`.
    warnings = [line for line in done.stderr.splitlines() if "sysinit.target not found" not in line]
    assert [line for line in warnings if "firstlight" in line] == []


def test_units_use_settings_and_commands_that_there_are():
    texts = {path: path.read_text() for path in (ROOT / "deploy/systemd").rglob("*.*") if path.is_file()}
    assert len(texts) == 7
    names = {
        name
        for text in texts.values()
        for line in re.findall("^Environment=(.*)$", text, re.MULTILINE)
        for name in re.findall(r"(\w+)=", line)
    }
    for name in names - {"PYTHONUNBUFFERED"}:
        assert_is_a_setting(name)
    commands = re.findall(r"manage\.py (\w+)", "".join(texts.values()))
    assert sorted(commands) == ["coap_server", "http_server", "mqtt_bridge"]
    assert set(commands) <= set(get_commands())


def test_compose_file_names_nothing_that_is_not_there():
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("networks", ())) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", ())) <= set(services)
        volumes = [volume.split(":")[0] for volume in service.get("volumes", ())]
        assert {name for name in volumes if not name.startswith(".")} <= set(COMPOSE["volumes"])
    assert (ROOT / "Dockerfile").exists()


def test_compose_services_use_settings_and_commands_that_there_are():
    ours = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "firstlight"}
    assert set(ours) == {"migrate", "web", "bridge", "coap", "tasks", "beat"}
    for service in ours.values():
        for name, value in service["environment"].items():
            assert_is_a_setting(name)
            if name.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
        command = service.get("command", [])
        assert command[1:2] != ["manage.py"] or command[2] in get_commands()


def test_compose_exposes_nothing_but_what_devices_and_browsers_need():
    ports = {port for service in COMPOSE["services"].values() for port in service.get("ports", ())}
    assert ports == {"80:80", "443:443", "1883:1883", "5683:5683/udp"}


def test_compose_has_a_mosquitto_that_can_load_the_plugin():
    service = COMPOSE["services"]["mosquitto"]
    assert service["build"] == {"context": "..", "dockerfile": "deploy/mosquitto/Dockerfile"}
    dockerfile = (ROOT / "deploy/mosquitto/Dockerfile").read_text()
    # The plugin needs glibc and Debian's Mosquitto, and lies where the configuration that we print looks for it.
    assert {line.split()[1] for line in dockerfile.splitlines() if line.startswith("FROM ")} == {"debian:12-slim"}
    broker = Broker(name="plant", kind="mosquitto", secret="s")
    library = re.search("^plugin (.+)$", configuration(broker, "http://web:8080"), re.MULTILINE)
    assert library
    assert f" /out/firstlight.so {library[1]}\n" in dockerfile
    assert service["command"][2].count("/etc/mosquitto/firstlight/plugin.conf") == 2
    assert "./mosquitto:/etc/mosquitto/firstlight:ro" in service["volumes"]
    for ignored in (".gitignore", ".dockerignore"):
        assert "deploy/mosquitto/plugin.conf\n" in (ROOT / ignored).read_text()


def test_compose_edits_lines_that_the_configurations_have():
    assert "server 127.0.0.1:8081;" in (ROOT / "deploy/nginx/firstlight.conf").read_text()
    assert "\nlistener 1884 127.0.0.1\n" in (ROOT / "deploy/mosquitto/mosquitto.conf").read_text()
