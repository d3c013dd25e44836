"""Who a bridge is at its broker, and what it subscribes to there."""

from dataclasses import dataclass

from transports.mqtt.broker_address import BrokerAddress


@dataclass(frozen=True, slots=True)
class Account:
    """Who connects, and for what.

    `filters` are what to subscribe to; the broker must grant the first. `obsolete` are those that an earlier session may
    have, and that are given up where the broker speaks MQTT 5.
    """

    broker: BrokerAddress
    client_id: str
    group: str
    filters: tuple[str, ...]
    window: int
    session_expiry_s: int
    obsolete: tuple[str, ...] = ()

    def share(self, name: str) -> str:
        """Return the filter `name` as a subscription that all of the group share."""
        return f"$share/{self.group}/{name}"
