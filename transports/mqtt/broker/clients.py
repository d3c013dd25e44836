"""What every kind of client has in common: one that provisions, a device with credentials, a bridge."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from transports.mqtt.broker import mqtt5
from transports.mqtt.topics import matches

SUBSCRIPTION_REFUSED = 0x80
MAX_QOS = 1


class Disconnected(Exception):
    """The broker ends this connection. A client that speaks MQTT 5 gets `reason`."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """What a client published. `acknowledge` takes a reason code of MQTT 5; at QoS 0 it does nothing."""

    topic: str
    body: bytes = field(repr=False)
    qos: int = 0
    properties: mqtt5.Properties = mqtt5.NONE
    acknowledge: Callable[[int], None] = field(default=lambda _reason: None, repr=False)


class ClientLink(ABC):
    """The connection, as a client's rules see it."""

    @abstractmethod
    def publish(self, topic: str, body: bytes, packet_id: int | None, *, again: bool = False, properties: bytes = b"") -> bool:
        """Send a message, at QoS 1 if it has a packet id. Return False if the client does not take packets so large."""

    @abstractmethod
    def end(self, reason: int) -> None:
        """Close the connection; a client that speaks MQTT 5 gets `reason`."""


class Client(ABC):
    """One connected client: what it may publish and subscribe, and what happens then. What is not abstract does nothing."""

    # Identifies the client among all that are connected: a second CONNECT with the same key takes the session over.
    key: str
    # The client id that the broker assigns to an MQTT 5 client without one.
    client_id: str
    # The connection is closed when the client has published and subscribed nothing for so long.
    idle_s: float | None = None

    def opened(self, link: ClientLink) -> bool:
        """Begin, just before the CONNACK. Return whether the client's session existed already."""
        self.link = link
        return False

    def accepted(self) -> None:  # noqa: B027
        """Go on, just after the CONNACK."""

    def closed(self) -> None:  # noqa: B027
        """End, when the connection is gone."""

    @abstractmethod
    async def take(self, message: PublishedMessage) -> None:
        """Take a message and acknowledge it once it is kept. Raises MessageRefused and Disconnected."""

    @abstractmethod
    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Return the QoS granted, SUBSCRIPTION_REFUSED if none is."""

    def unsubscribe(self, topic_filter: str) -> None:  # noqa: B027
        """Take a subscription back."""

    def acknowledged(self, packet_id: int) -> None:  # noqa: B027
        """Take the PUBACK for a message that was sent to this client."""


class Subscriptions:
    """The topic filters of one client, each with its QoS, and packet ids for what is sent to it at QoS 1."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._granted: dict[str, int] = {}
        self._last_packet_id = 0

    def grant(self, topic_filter: str, qos: int) -> int:
        """Return the QoS granted, SUBSCRIPTION_REFUSED if there are too many filters."""
        if topic_filter not in self._granted and len(self._granted) >= self._limit:
            return SUBSCRIPTION_REFUSED
        self._granted[topic_filter] = min(qos, MAX_QOS)
        return self._granted[topic_filter]

    def drop(self, topic_filter: str) -> None:
        self._granted.pop(topic_filter, None)

    def qos_for(self, topic: str) -> int | None:
        """Return the QoS at which the client gets `topic`, None if it has not subscribed to it."""
        return max((qos for topic_filter, qos in self._granted.items() if matches(topic, topic_filter)), default=None)

    def packet_id(self, qos: int | None) -> int | None:
        """Return a packet id for a message at `qos`, None at QoS 0. Nothing is sent twice, so an id may come round again."""
        if not qos:
            return None
        self._last_packet_id = self._last_packet_id % 65_535 + 1
        return self._last_packet_id

    def __contains__(self, topic_filter: str) -> bool:
        return topic_filter in self._granted

    @property
    def highest_qos(self) -> int:
        return max(self._granted.values(), default=0)
