"""`manage.py coap_server`: serve provisioning and device data over CoAP."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from operations.metrics import MetricsPortUnusable
from transports.coap.endpoint import PortTaken
from transports.coap.server import run


class Command(BaseCommand):
    help = "Serve provisioning and device data over CoAP on COAP_HOST and COAP_PORT (UDP)."

    def handle(self, **options: Any) -> None:
        try:
            run(settings.COAP_HOST, settings.COAP_PORT)
        except PortTaken:
            raise CommandError(
                f"Port {settings.COAP_PORT} (UDP) on {settings.COAP_HOST} is in use; set COAP_PORT to another one."
            ) from None
        except MetricsPortUnusable as err:
            raise CommandError(str(err)) from None
        except (OSError, OverflowError) as err:
            problem = getattr(err, "strerror", None) or err
            place = f"COAP_HOST {settings.COAP_HOST}, COAP_PORT {settings.COAP_PORT}"
            raise CommandError(f"Cannot listen on {place}: {problem}.") from None
