"""A PostgreSQL of a test's own, whatever database the run uses: for locks, and to be stopped and started."""

import pytest
from django.core.management import call_command
from django.db import connections

from tests.support import postgres
from tests.support.provisioning import empty_database


@pytest.fixture(scope="module")
def server():
    with postgres.own_postgres() as server:
        yield server


@pytest.fixture
def own_postgres(server, django_db_blocker):
    """The server, migrated and empty; Django's default connection leads to it, in every thread."""
    from config.settings import _POSTGRES_OPTIONS, env

    config = env.db_url_config(server.url("firstlight")) | {"OPTIONS": dict(_POSTGRES_OPTIONS), "CONN_MAX_AGE": None}
    settings, kept = connections.settings["default"], connections["default"]
    connections.settings["default"] = settings | config
    connections["default"] = connections.create_connection("default")
    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0)
        empty_database()
        yield server
        connections["default"].close()
    # The tests' own connection was not closed: with SQLite in memory it is the database.
    connections.settings["default"], connections["default"] = settings, kept
