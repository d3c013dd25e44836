"""`manage.py derive_secrets --key KEY [FILE]`: the secrets that a factory writes into its devices."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from imports.csv.file_format import UnreadableFile
from imports.device_names import device_names
from profiles.choices import SecretUse
from profiles.models import ProvisioningKey


class Command(BaseCommand):
    help = "Print name and secret of each device, as CSV. The key's secret use must be derived."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--key", required=True, help="the provision key that the devices present")
        parser.add_argument("file", nargs="?", default="-", help="names, one a line or in a CSV column; default: standard input")
        parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")

    def handle(self, *, key: str, file: str, **options: Any) -> None:
        found = ProvisioningKey.objects.filter(key=key).first()
        if found is None:
            raise CommandError("There is no such key.")
        if found.secret_use != SecretUse.DERIVED:
            raise CommandError("All devices of this key present its secret as it is. Create a key with derived secrets.")
        try:
            content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            pairs = [(name, found.secret_for(name)) for name in device_names(io.BytesIO(content))]
        except OSError as err:
            raise CommandError(f"{file} cannot be read: {err.strerror}.") from None
        except UnreadableFile as err:
            raise CommandError(str(err)) from None
        if options["json"]:
            devices = [{"name": name, "secret": secret} for name, secret in pairs]
            self.stdout.write(json.dumps({"key": key, "devices": devices}))
            return
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(("name", "secret"))
        writer.writerows(pairs)
