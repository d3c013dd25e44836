"""`manage.py migrate` and databases that it cannot use."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder


@pytest.mark.django_db
def test_database_of_an_unreleased_version_is_refused_in_one_sentence():
    MigrationRecorder(connection).record_applied("transports", "0001_initial")

    with pytest.raises(CommandError, match=r"^This database was made by a version before the first release") as refused:
        call_command("migrate", verbosity=0)

    assert "FIRSTLIGHT_DATA" in str(refused.value)
