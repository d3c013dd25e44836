"""Commands whose arguments are names of devices."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from devices.models import Device


class DeviceNamesCommand(BaseCommand):
    """Does something to the devices named on the command line: to all of them, or to none if one does not exist."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="+", metavar="NAME")

    def handle(self, *, names: list[str], **options: Any) -> None:
        devices = Device.objects.filter(name__in=names)
        missing = sorted(set(names) - set(devices.values_list("name", flat=True)))
        if missing:
            raise CommandError(f"No device is named {missing[0]!r}. Nothing was changed.")
        self.stdout.write(self.apply(devices))

    def apply(self, devices: QuerySet[Device]) -> str:
        """Do it; return the sentence that is printed."""
        raise NotImplementedError
