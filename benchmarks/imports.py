"""How fast a list of devices is imported, beside the bare writing of the same rows. Run: python -m benchmarks.imports

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

from tests.support.postgres import Postgres

WANTED_RATIO = 0.35


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database", choices=["postgres", "sqlite"], help="default: both")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="firstlight-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "devices.csv"
        write_list(file, options.rows)
        for database in [options.database] if options.database else ["postgres", "sqlite"]:
            compare(database, folder / database, file)


def write_list(path: Path, rows: int) -> None:
    """Write a list of devices with token, label and two attributes."""
    with path.open("w") as file:
        file.write("name,token,label,batch,limit\n")
        file.writelines(f"DHT11-{i:07},{os.urandom(10).hex()},Sensor {i},spring 2026,{i % 100}\n" for i in range(rows))


def compare(database: str, folder: Path, file: Path) -> None:
    """Run both sides in processes of their own, and print what they reached and their ratio."""
    folder.mkdir()
    folder.chmod(0o755)
    server = None
    if database == "postgres":
        server = Postgres(folder / "server")
        server.start()
        for name in ("bare", "import"):
            server.psql("postgres", f"CREATE DATABASE {name}_side")
    try:
        results = {
            side: measure(side, file, folder, server.url(f"{side}_side") if server else f"sqlite:///{folder}/{side}.sqlite3")
            for side in ("bare", "import")
        }
    finally:
        if server:
            server.stop()
    for side, result in results.items():
        print(f"{database:8} {side:6} {result['rows_per_s']:9,.0f} rows/s   {result['peak_mb']:5.0f} MB peak")
    ratio = results["import"]["rows_per_s"] / results["bare"]["rows_per_s"]
    print(f"{database:8} ratio  {ratio:9.2f}   (at least {WANTED_RATIO} is wanted)", flush=True)


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
