"""How each kind of broker is made to end a session: one module for each that can. Mosquitto's plugin does it by itself."""

from collections.abc import Callable

from brokers.choices import BrokerKind
from brokers.kicks import emqx, rabbitmq, vernemq
from brokers.models import Broker

# Each returns whether there was a session, as far as the broker says, and raises KickFailed.
ADAPTERS: dict[str, Callable[[Broker, str], bool]] = {
    BrokerKind.EMQX: emqx.end_session,
    BrokerKind.RABBITMQ: rabbitmq.end_session,
    BrokerKind.VERNEMQ: vernemq.end_session,
}
