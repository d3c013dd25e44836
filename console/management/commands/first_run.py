"""`manage.py first_run`: what `make run` does before it starts the processes."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from console.first_run import first_run
from console.greeting import first_greeting, later_greeting
from core.private_files import make_private, make_private_folder
from operations.ports import PortUnusable, require_free_ports
from transports.mqtt.broker.tls import CertificateUnusable


class Command(BaseCommand):
    help = "Check the ports, migrate the database, and on the first run create an admin user and a demo profile."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        try:
            require_free_ports()
        except PortUnusable as err:
            raise CommandError(str(err)) from None
        make_private_folder(settings.DATA_DIR)
        make_private(settings.DATA_DIR)
        call_command("migrate", verbosity=0)
        made = first_run()
        try:
            self.stdout.write(first_greeting(made) if made else later_greeting())
        except CertificateUnusable as err:
            raise CommandError(str(err)) from None
