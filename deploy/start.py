"""Start the processes of the Procfile with honcho, or only some: `python deploy/start.py [PROCESS…]`."""

import os
import sys
from pathlib import Path

from honcho import manager as honcho_manager
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Printer

# Seconds that the processes have to finish their requests before honcho kills them. Everything ends within 10.
honcho_manager.KILL_WAIT = 8
PROCFILE = Path(__file__).resolve().parents[1] / "Procfile"


class PatientManager(Manager):  # type: ignore[misc] # honcho has no types
    """Honcho's manager. Without this, it hangs if it is stopped before every process has reported its id."""

    _stopping = False

    def terminate(self) -> None:
        self._stopping = True
        self._all_started()

    def _all_started(self) -> bool:
        """Return whether all processes have reported their ids. Honcho's loop calls it ten times a second."""
        started: bool = super()._all_started()
        if started and self._stopping:
            super().terminate()
        return started


def main(names: list[str]) -> int:
    """Return the exit code. After a signal it is 128 plus the signal, as in a shell (130, 143)."""
    # The commands of the Procfile come from this virtual environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.chdir(PROCFILE.parent)
    processes: dict[str, str] = parse_procfile(PROCFILE.read_text()).processes
    if os.environ.get("MQTT_BROKER_URL") or os.environ.get("MQTT_BROKER_URL_FILE"):
        del processes["mqtt_broker"]  # the bridge uses the broker of the operator
    manager = PatientManager(Printer(sys.stdout))
    for name in names or processes:
        manager.add_process(name, processes[name])
    manager.loop()
    return int(manager.returncode or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
