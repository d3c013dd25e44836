"""`manage.py migrate`: Django's own, after a look at what is in the database already."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

# Recorded by the versions before the first release only: their tables cannot be migrated.
UNRELEASED = ("transports", "0001_initial")


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate. Raises CommandError for a database of a version before the first release."""
        if UNRELEASED in MigrationRecorder(connections[options["database"]]).applied_migrations():
            raise CommandError(
                "This database was made by a version before the first release and cannot be used any more. "
                "Move it away (by default the folder var/, or what FIRSTLIGHT_DATA and DATABASE_URL name) and start again."
            )
        super().handle(*args, **options)
