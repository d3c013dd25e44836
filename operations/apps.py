from django.apps import AppConfig
from django.db.backends.signals import connection_created

from core.private_files import protect_database


class OperationsConfig(AppConfig):
    name = "operations"
    verbose_name = "Operations"

    def ready(self) -> None:
        connection_created.connect(protect_database)
