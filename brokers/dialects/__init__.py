"""How each kind of broker is configured, asks and is answered: one module for each kind. `Dialect` says what it has."""

from typing import Protocol

from brokers.calls import Answer, Call, Denial
from brokers.choices import BrokerKind
from brokers.dialects import emqx, generic, mosquitto, rabbitmq, vernemq
from brokers.models import Broker


class Dialect(Protocol):
    """A module of this package.

    CALLS: the last part of the paths that it answers. ISOLATED: the broker keeps clients apart on one and the same topic.
    """

    CALLS: tuple[str, ...]
    ISOLATED: bool

    def configuration(self, broker: Broker, url: str) -> str:
        """Return the text for the broker's configuration. It holds the secret."""

    def answer(self, call: Call) -> Answer:
        """Return the answer to `call`. Raises NotUnderstood and django.db.Error."""

    def denied(self, denial: Denial) -> Answer:
        """Return the denial of any call."""


DIALECTS: dict[str, Dialect] = {
    BrokerKind.MOSQUITTO: mosquitto,
    BrokerKind.EMQX: emqx,
    BrokerKind.RABBITMQ: rabbitmq,
    BrokerKind.VERNEMQ: vernemq,
    BrokerKind.GENERIC: generic,
}
