"""Does a broker really ask? A client with made-up credentials must be refused."""

import logging

from django.utils import timezone

from brokers.models import Broker
from brokers.mqtt_client import PlayedDevice
from core.random_text import random_alphanumeric

log = logging.getLogger(__name__)


def check(broker: Broker) -> None:
    """Try to connect to `broker` with made-up credentials, and note whether it let us in. Nothing if it cannot be reached."""
    try:
        with PlayedDevice(broker, client_id=f"check-{random_alphanumeric()}", username=random_alphanumeric()) as stranger:
            accepted = stranger.accepted
    except (OSError, ValueError) as err:
        log.info("Broker %s cannot be checked: %s", broker.pk, type(err).__name__)
        return
    if accepted is None:
        # It hung up, which is as good as a refusal.
        accepted = False
    note(broker, admits_anyone=accepted)


def note(broker: Broker, *, admits_anyone: bool) -> None:
    """Keep what a check with made-up credentials found."""
    broker.admits_anyone, broker.checked_at = admits_anyone, timezone.now()
    Broker.objects.filter(pk=broker.pk).update(admits_anyone=broker.admits_anyone, checked_at=broker.checked_at)
