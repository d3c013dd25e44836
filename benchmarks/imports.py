"""Measures how fast a list of devices is imported, compared to bare writing of the same rows.

Run with `python -m benchmarks.imports`.

Both sides write to a database of their own that starts empty, through the project's settings:

- bare: one COPY (PostgreSQL) or executemany (SQLite) each of the devices and credentials, in one transaction, all values
  prepared beforehand, the tokens encrypted already; nothing is read, checked or decided;
- import: everything between the CSV file and the last commit: reading, checks, duplicate names, lookups, encryption of
  every token, and the attributes, which the bare side does not write.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.support.postgres import Postgres

WANTED_RATIO = 0.35


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", choices=["postgres", "sqlite"], help="default: both")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="firstlight-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "devices.csv"
        write_list(file, options.rows)
        for database in [options.database] if options.database else ["postgres", "sqlite"]:
            compare(database, folder / database, file, options.rounds)


def write_list(path: Path, rows: int) -> None:
    """Write a list of devices with token, label and two attributes."""
    with path.open("w") as file:
        file.write("name,token,label,batch,limit\n")
        file.writelines(f"DHT11-{i:07},{os.urandom(10).hex()},Sensor {i},spring 2026,{i % 100}\n" for i in range(rows))


def compare(database: str, folder: Path, file: Path, rounds: int) -> None:
    """Run both sides in turn, each in a process and a database of its own, and print their medians and the ratio."""
    folder.mkdir()
    folder.chmod(0o755)
    server = Postgres(folder / "server") if database == "postgres" else None
    if server:
        server.start()
    results: dict[str, list[dict[str, float]]] = {"bare": [], "import": []}
    try:
        for number in range(rounds):
            for side, measured in results.items():
                measured.append(measure(side, file, folder, fresh_database(server, folder, f"{side}_{number}")))
    finally:
        if server:
            server.stop()
    speeds = {side: median(one["rows_per_s"] for one in measured) for side, measured in results.items()}
    for side, measured in results.items():
        cpu_s, peak_mb = (median(one[name] for one in measured) for name in ("cpu_s", "peak_mb"))
        print(f"{database:8} {side:6} {speeds[side]:9,.0f} rows/s   {cpu_s:5.1f} s CPU   {peak_mb:5.0f} MB peak")
    print(f"{database:8} ratio  {speeds['import'] / speeds['bare']:9.2f}   (at least {WANTED_RATIO} is wanted)", flush=True)


def fresh_database(server: Postgres | None, folder: Path, name: str) -> str:
    """Return the URL of a new, empty database."""
    if server is None:
        return f"sqlite:///{folder}/{name}.sqlite3"
    server.psql("postgres", f"CREATE DATABASE {name}")
    return server.url(name)


def measure(side: str, file: Path, folder: Path, url: str) -> dict[str, float]:
    environment = os.environ | {"DATABASE_URL": url, "FIRSTLIGHT_DATA": str(folder / "data"), "LOG_LEVEL": "WARNING"}
    environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    command = [sys.executable, "-m", "benchmarks.imports_side", side, str(file)]
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True, env=environment)
    output = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"took {time.monotonic() - started:.0f} s")
