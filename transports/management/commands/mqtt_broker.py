"""`manage.py mqtt_broker`: the embedded MQTT broker."""

import asyncio
import errno
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from operations.metrics import MetricsPortUnusable
from transports.mqtt.broker.run import listening_socket, run
from transports.mqtt.broker.server_certificate import server_files
from transports.mqtt.broker.tls import CertificateUnusable, TlsListener, server_context


class Command(BaseCommand):
    help = "Run the embedded MQTT broker on MQTT_HOST, MQTT_PORT and MQTT_TLS_PORT until SIGTERM or SIGINT."

    def handle(self, **options: Any) -> None:
        if not settings.MQTT_BRIDGE_PASSWORD:
            raise CommandError("MQTT_BRIDGE_PASSWORD is not set. The bridge logs in to the embedded broker with it.")
        listener = _listen("MQTT_PORT", settings.MQTT_PORT)
        try:
            asyncio.run(run(listener, _tls_listener()))
        except (MetricsPortUnusable, CertificateUnusable) as err:
            raise CommandError(str(err)) from None


def _tls_listener() -> TlsListener | None:
    if settings.MQTT_TLS_PORT is None:
        return None
    files = server_files()
    context = server_context(files.certificate, files.key)
    return TlsListener(_listen("MQTT_TLS_PORT", settings.MQTT_TLS_PORT), context)


def _listen(variable: str, port: int) -> socket.socket:
    host = settings.MQTT_HOST
    try:
        return listening_socket(host, port)
    except (OSError, OverflowError) as err:
        if getattr(err, "errno", None) == errno.EADDRINUSE:
            raise CommandError(f"Port {port} on {host} is in use; set {variable} to another one.") from None
        problem = getattr(err, "strerror", None) or err
        raise CommandError(f"Cannot listen on MQTT_HOST {host}, {variable} {port}: {problem}.") from None
