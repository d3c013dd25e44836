"""Questions about brokers."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from brokers.choices import BrokerKind
from brokers.models import Broker

ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on

# A broker asks when devices connect. The plugin for Mosquitto (True) polls all the time.
SILENT_AFTER = {False: timedelta(hours=24), True: timedelta(minutes=5)}


def own_url() -> str:
    """Return the address under which brokers reach this installation, without a final slash."""
    if settings.BROKERS_URL:
        return str(settings.BROKERS_URL).rstrip("/")
    host = "127.0.0.1" if settings.HTTP_HOST in ANY_ADDRESS else settings.HTTP_HOST
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.HTTP_PORT}"


def calls_url(broker: Broker, base: str = "") -> str:
    """Return the address below which `broker` makes its calls. `base`: another address of this installation."""
    return f"{base.rstrip('/') or own_url()}/api/brokers/{broker.pk}"


def state_of(broker: Broker, now: datetime | None = None) -> str:
    """Return "admits anyone", "silent", "not asked yet" or "asks"."""
    if broker.admits_anyone:
        return "admits anyone"
    last = broker.last_asked_at or broker.created_at
    if last < (now or timezone.now()) - SILENT_AFTER[broker.kind == BrokerKind.MOSQUITTO]:
        return "silent"
    return "asks" if broker.last_asked_at else "not asked yet"


def brokers_in_trouble(now: datetime) -> list[tuple[Broker, str]]:
    """Return the brokers that admit anyone, and those without a recent request, with their states."""
    rows = [(broker, state_of(broker, now)) for broker in Broker.objects.defer("secret", "management_password")]
    return sorted(((broker, state) for broker, state in rows if state in ("admits anyone", "silent")), key=lambda row: row[1])
