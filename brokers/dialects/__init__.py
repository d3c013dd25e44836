"""How each kind of broker is configured, and how it asks and is answered: one module a kind.

A dialect has `configuration(broker, url)`, which returns the text for the broker's configuration, and `ENDPOINTS`, which
maps the last part of a call's path to a function that answers it.
"""

from typing import Protocol

from brokers.choices import BrokerKind
from brokers.dialects import emqx, generic, mosquitto, rabbitmq, vernemq
from brokers.models import Broker


class Dialect(Protocol):
    """What each module has."""

    def configuration(self, broker: Broker, url: str) -> str: ...


DIALECTS: dict[str, Dialect] = {
    BrokerKind.MOSQUITTO: mosquitto,
    BrokerKind.EMQX: emqx,
    BrokerKind.RABBITMQ: rabbitmq,
    BrokerKind.VERNEMQ: vernemq,
    BrokerKind.GENERIC: generic,
}
