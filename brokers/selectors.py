"""Questions about brokers."""

from django.conf import settings

from brokers.models import Broker

ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on


def own_url() -> str:
    """Return the address under which brokers reach this installation, without a final slash."""
    if settings.BROKERS_URL:
        return str(settings.BROKERS_URL).rstrip("/")
    host = "127.0.0.1" if settings.HTTP_HOST in ANY_ADDRESS else settings.HTTP_HOST
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.HTTP_PORT}"


def calls_url(broker: Broker, base: str = "") -> str:
    """Return the address below which `broker` makes its calls. `base`: another address of this installation."""
    return f"{base.rstrip('/') or own_url()}/api/brokers/{broker.pk}"
