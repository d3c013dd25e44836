"""`manage.py rotate_encryption`: re-encrypt every stored secret under the newest key of ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand

from profiles.services import encryption_rotate


class Command(BaseCommand):
    help = "Re-encrypt every stored secret under the newest key of ENCRYPTION_KEYS; older keys can then be removed."

    def handle(self, **options: Any) -> None:
        for model_name, rows in encryption_rotate().items():
            self.stdout.write(f"{model_name}: {rows} re-encrypted")
