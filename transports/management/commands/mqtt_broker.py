"""`manage.py mqtt_broker`: the embedded MQTT broker."""

import asyncio
import errno
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from operations.metrics import MetricsPortUnusable
from transports.mqtt.broker.run import listening_socket, run


class Command(BaseCommand):
    help = "Run the embedded MQTT broker on MQTT_HOST and MQTT_PORT until it is told to stop (SIGTERM, SIGINT)."

    def handle(self, **options: Any) -> None:
        if not settings.MQTT_BRIDGE_PASSWORD:
            raise CommandError("MQTT_BRIDGE_PASSWORD is not set. The bridge logs in to the embedded broker with it.")
        host, port = settings.MQTT_HOST, settings.MQTT_PORT
        try:
            listener = listening_socket(host, port)
        except (OSError, OverflowError) as err:
            if getattr(err, "errno", None) == errno.EADDRINUSE:
                raise CommandError(f"Port {port} on {host} is in use; set MQTT_PORT to another one.") from None
            problem = getattr(err, "strerror", None) or err
            raise CommandError(f"Cannot listen on MQTT_HOST {host}, MQTT_PORT {port}: {problem}.") from None
        try:
            asyncio.run(run(listener))
        except MetricsPortUnusable as err:
            raise CommandError(str(err)) from None
