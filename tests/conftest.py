"""Fixtures for all tests."""

import pytest

from provisioning import rate_limits
from provisioning.login_limits import login_limits
from tests.support.environment import DATABASE
from tests.support.tb_client import tb_client

__all__ = ["tb_client"]

DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark what touches the database: `-m database` is what `make test` runs again on PostgreSQL.

    What SQLite cannot do, several transactions that write at once, is left to that second run.
    """
    for item in items:
        if item.get_closest_marker("django_db") or DATABASE_FIXTURES & set(item.fixturenames):
            item.add_marker("database")
    if DATABASE != "postgres":
        elsewhere = [item for item in items if item.get_closest_marker("postgres_only")]
        items[:] = [item for item in items if item not in elsewhere]
        config.hook.pytest_deselected(items=elsewhere)


@pytest.fixture(autouse=True)
def _no_source_is_limited():
    """What this process remembers of guessers does not outlive a test."""
    rate_limits.limited.clear()
    login_limits.clear()
    yield
    rate_limits.limited.clear()
    login_limits.clear()
