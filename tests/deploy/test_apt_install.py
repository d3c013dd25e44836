"""deploy/apt-install: what is missing is installed where that needs no password, else the command is named."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy/apt-install"


@pytest.fixture
def machine(tmp_path):
    """A folder of programs that come before the machine's own in PATH: apt-get and sudo record their arguments."""
    programs = {
        "apt-get": f'echo "apt-get $*" >> {tmp_path}/done',
        "sudo": f'test -e {tmp_path}/sudoer && shift && exec "$@"',
        "id": "echo 1000",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def install(machine: Path, *pairs: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{machine}:/usr/bin:/bin"}
    return subprocess.run([SCRIPT, *pairs], env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_programs_that_are_there_need_nothing(machine):
    done = install(machine, "sh=dash", "cat=coreutils")

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_missing_program_is_installed_with_passwordless_sudo(machine):
    (machine / "sudoer").touch()

    done = install(machine, "sh=dash", "no-such-program=some-package")

    assert done.returncode == 0, done.stderr
    commands = (machine / "done").read_text().splitlines()
    assert [command.split()[1] for command in commands] == ["update", "install"]
    assert commands[-1].endswith(" some-package")


def test_missing_program_without_rights_is_named_with_the_command(machine):
    done = install(machine, "no-such-program=some-package", "nor-this=another")

    assert done.returncode == 1
    assert "sudo apt-get install some-package another" in done.stderr
    assert not (machine / "done").exists()


def test_a_file_is_looked_for_by_its_path(machine):
    (machine / "header.h").touch()

    assert install(machine, f"{machine}/header.h=there-dev").returncode == 0
    assert "apt-get install missing-dev" in install(machine, f"{machine}/other.h=missing-dev").stderr


def test_postgresql_is_found_outside_the_path(machine):
    assert install(machine, "postgres=postgresql").returncode == 0
