"""The text that goes into a broker's configuration, complete but for its listeners."""

from brokers.dialects import DIALECTS
from brokers.models import Broker
from brokers.selectors import own_url


def configuration(broker: Broker, url: str = "") -> str:
    """Return the configuration of `broker`. It holds the secret. `url`: where it reaches this installation."""
    return DIALECTS[broker.kind].configuration(broker, url.rstrip("/") or own_url())
