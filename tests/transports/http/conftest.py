"""What every test of the HTTP edge needs."""

import pytest

from provisioning.group_commit import group_commit


@pytest.fixture(autouse=True)
def _group_commit_ends(transactional_db):
    """Unreadable requests are counted after their answer: that is over before the tables are emptied."""
    yield
    group_commit.close()
    group_commit._closed, group_commit._drainer = False, None
