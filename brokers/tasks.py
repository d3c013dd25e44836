"""What is done for brokers in the background."""

from celery import shared_task

from brokers import ending
from brokers.checks import check
from brokers.models import Broker


@shared_task
def end_sessions() -> None:
    """End the sessions of devices that may no longer connect."""
    if not Broker.objects.exclude(management_url="").exists():
        return
    while ending.read_events():
        pass
    ending.try_kicks()


@shared_task
def prune_brokers() -> None:
    """Forget old kicks and sessions."""
    ending.prune()


@shared_task
def check_brokers() -> None:
    """Check which brokers admit anyone."""
    for broker in Broker.objects.exclude(mqtt_url="").defer("secret", "management_password"):
        check(broker)
