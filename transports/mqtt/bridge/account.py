"""Who a bridge is at its broker, and what it subscribes to there."""

from dataclasses import dataclass

from transports.mqtt.broker_address import BrokerAddress


@dataclass(frozen=True, slots=True)
class Account:
    """Who connects, and for what.

    `data_filters` are the topics on which data of devices comes out on this broker; `serves_data` says whether the bridge
    serves them. That needs MQTT 5.
    """

    broker: BrokerAddress
    client_id: str
    group: str
    requests: str
    shared_request: str
    window: int
    session_expiry_s: int
    data_filters: tuple[str, ...] = ()
    serves_data: bool = False

    def filters(self, *, speaks_5: bool) -> list[str]:
        """Return the topic filters to serve: the requests of all clients first."""
        data = self.data_filters if self.serves_data and speaks_5 else ()
        return [self.requests, *([self.shared_request] if self.shared_request else []), *data]

    def share(self, name: str) -> str:
        """Return the filter `name` as a subscription that all bridges share."""
        return f"$share/{self.group}/{name}"
