"""The Mosquitto plugin, built with AddressSanitizer, in Debian's Mosquitto."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.broker_feed import BROKER, SECRET
from tests.support.processes import Server, lasting_port, listens, program, wait_for
from tests.support.web import ROOT

INSTALLED = "/usr/lib/firstlight/firstlight.so"
SOURCE = ROOT / "deploy" / "mosquitto" / "plugin"


def build(folder: Path, *, sanitize: bool = True) -> Path:
    """Build plugin and unit tests into `folder`, once for all processes of a test run. Return the folder."""
    folder.mkdir(exist_ok=True)
    options = ["SANITIZE=address", "CFLAGS=-O1 -g"] if sanitize else []
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-C", str(SOURCE), f"OUT={folder}", *options, "all", "tests"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def build_once(factory: pytest.TempPathFactory) -> Path:
    """Return the folder with firstlight.so and unit_tests, shared by all processes of a test run."""
    base = factory.getbasetemp()
    return build((base.parent if base.name.startswith("popen-") else base) / "mosquitto-plugin")


def _library(name: str) -> str:
    """Return the path of a library of the compiler's."""
    return subprocess.run(
        ["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()


class PluginMosquitto:
    """Mosquitto with the plugin on `port`, else a free one, its configuration and store in `folder`.

    `printed` is the configuration that create_broker prints, in place of url, broker and secret.
    """

    def __init__(
        self,
        folder: Path,
        built: Path,
        url: str,
        *,
        broker: str = BROKER,
        secret: str = SECRET,
        sanitized: bool = True,
        configuration: str = "",
        printed: str = "",
        prefix: Sequence[str] = (),
        port: int = 0,
        **options: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.sanitized, self.prefix = folder, sanitized, prefix
        self.port = port or lasting_port()
        self.replica = folder / "replica"
        (folder / "secret").write_text(secret + "\n")
        library = str(built / "firstlight.so")
        # Tests knock until a change has arrived: that must not look like guessing.
        options = {"guesses_per_minute": "0"} | options
        given = {"file": str(self.replica), **options}
        if not printed:
            printed = f"per_listener_settings false\nallow_anonymous false\nplugin {INSTALLED}\n"
            given |= {"url": url, "broker": broker, "secret_file": str(folder / "secret")}
        assert f"plugin {INSTALLED}\n" in printed
        (folder / "mosquitto.conf").write_text(
            printed.replace(INSTALLED, library)
            + "".join(f"plugin_opt_{name} {value}\n" for name, value in given.items())
            + f"listener {self.port} 127.0.0.1\nuser root\n{configuration}\n"
        )
        self.server: Server | None = None

    def start(self) -> "PluginMosquitto":
        environment = dict(os.environ)
        if self.sanitized:
            environment |= {
                "LD_PRELOAD": f"{_library('libasan.so')} {_library('libubsan.so')}",
                "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:abort_on_error=0",
                "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
                "LSAN_OPTIONS": "exitcode=0",  # the broker's own leaks; `stop` looks for ours
            }
        command = [*self.prefix, program("mosquitto", "mosquitto"), "-c", str(self.folder / "mosquitto.conf")]
        self.server = server = Server(command, self.folder / "log", env=environment, cwd=self.folder)
        wait_for(lambda: listens(self.port) or not server.alive, "Mosquitto")
        assert server.alive, self.log
        return self

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def wait_for_log(self, text: str, count: int = 1) -> None:
        wait_for(lambda: self.log.count(text) >= count, f"{text!r} in the broker's log")

    def stop(self) -> None:
        """Stop in order; fails when the sanitizers have found anything of ours."""
        if not self.server:
            return
        code = self.server.stop()
        self.server = None
        assert code == 0, self.log
        assert "ERROR: AddressSanitizer" not in self.log, self.log
        assert "runtime error" not in self.log, self.log
        assert not _our_leaks(self.log), self.log

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.server:
            self.server.stop(signal.SIGKILL)
            self.server = None


def _our_leaks(log: str) -> list[str]:
    """Return the reports of leaks whose memory our code has allocated: it is within the first frames."""
    reports = log.split(" leak of ")[1:]
    return [report for report in reports if any("firstlight.so" in frame for frame in report.splitlines()[1:4])]
