"""`manage.py create_api_token USER --scope SCOPE…`: make a token with which a program calls the management API."""

import json
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from api.choices import Scope
from api.services import DEFAULT_DAYS, token_create


class Command(BaseCommand):
    help = "Make an API token and print it. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="user name of the token's owner, whose rights limit it")
        parser.add_argument(
            "--scope",
            nargs="+",
            action="extend",
            required=True,
            choices=Scope.values,
            metavar="SCOPE",
            help=f"what the token may be used for: {', '.join(Scope.values)}",
        )
        parser.add_argument("--name", default="", help="what the token is for")
        parser.add_argument("--expires", type=int, default=DEFAULT_DAYS, metavar="DAYS", help="default: %(default)s")
        parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")

    def handle(self, *, user: str, scope: list[str], name: str, expires: int, **options: Any) -> None:
        owner = User.objects.filter(username=user, is_active=True).first()
        if owner is None:
            raise CommandError("There is no active user of that name.")
        try:
            token, text = token_create(owner=owner, scopes=scope, name=name, days=expires)
        except ValidationError as err:
            raise CommandError(" ".join(err.messages)) from None
        values = {"id": str(token.id), "token": text, "prefix": token.prefix, "expires": token.expires_at.isoformat()}
        if options["json"]:
            self.stdout.write(json.dumps(values))
            return
        for field, value in values.items():
            self.stdout.write(f"{field:<8}{value}")
