"""Loaded before Django's settings: a data folder and a database of the tests' own.

`TEST_DATABASE=postgres` runs the tests on a PostgreSQL that is started here, on a free port and in a temporary
folder; the default is SQLite. Worker processes of pytest-xdist inherit the environment, and so the server.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

DATABASE = os.environ.get("TEST_DATABASE", "sqlite")


def _prepare() -> None:
    if os.environ.get("FIRSTLIGHT_TEST_FOLDER"):
        return
    folder = Path(tempfile.mkdtemp(prefix="firstlight-tests-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["FIRSTLIGHT_TEST_FOLDER"] = str(folder)
    os.environ["FIRSTLIGHT_DATA"] = str(folder / "data")
    # Its default would be the same for all brokers that tests start.
    os.environ["MQTT_TLS_PORT"] = ""
    for name in ("DATABASE_URL", "REDIS_URL", "MQTT_BROKER_URL", "FIRSTLIGHT_ENV"):
        os.environ.pop(name, None)
    if DATABASE == "postgres":
        from tests.support.postgres import Postgres

        server = Postgres(folder / "postgres")
        server.start()
        atexit.register(server.stop)
        os.environ["DATABASE_URL"] = server.url("firstlight")


_prepare()
