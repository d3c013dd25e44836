"""`manage.py create_profile NAME --strategy …`: create a device profile with its first key."""

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from profiles.choices import SecretUse, Strategy
from profiles.services import profile_create


class Command(BaseCommand):
    help = "Create a device profile and print its id, provision key and secret."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--strategy", required=True, choices=Strategy.values)
        parser.add_argument("--key", help="provision key, 16 characters or more (default: generated)")
        parser.add_argument("--secret", help="provision secret, 16 characters or more (default: generated)")
        parser.add_argument(
            "--secret-use",
            type=str.upper,
            choices=SecretUse.values,
            default=SecretUse.SHARED,
            metavar="shared|derived",
            help="derived: each device presents a secret of its own, made from its name (see derive_secrets)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")

    def handle(self, *, name: str, strategy: str, key: str | None, secret: str | None, secret_use: str, **options: Any) -> None:
        try:
            profile, made = profile_create(name=name, strategy=strategy, key=key, secret=secret, secret_use=secret_use)
        except ValidationError as err:
            problems = [f"{field}: {' '.join(texts)}" for field, texts in err.message_dict.items()]
            raise CommandError("The profile was not created. " + " ".join(problems)) from None
        if options["json"]:
            values = {
                "id": str(profile.id),
                "name": profile.name,
                "strategy": profile.strategy,
                "key": made.key,
                "secret": made.secret,
                "secret_use": made.secret_use.lower(),
            }
            self.stdout.write(json.dumps(values))
            return
        self.stdout.write(f"id      {profile.id}\nkey     {made.key}\nsecret  {made.secret}")
