"""`manage.py http_server`: the web server."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from operations.ports import PortUnusable, http_port, listen
from transports.http.server import serve


class Command(BaseCommand):
    help = "Serve HTTP on HTTP_HOST and HTTP_PORT with HTTP_WORKERS processes, until SIGTERM or SIGINT."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        try:
            listener = listen(http_port())
        except PortUnusable as err:
            raise CommandError(str(err)) from None
        with listener:
            serve(listener)
