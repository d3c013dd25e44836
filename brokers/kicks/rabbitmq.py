"""RabbitMQ: its management API knows connections by name, so the one of a client id is looked up first."""

from urllib.parse import quote

from brokers.kicks.errors import KickFailed
from brokers.kicks.http import management_call
from brokers.models import Broker


def end_session(broker: Broker, client_id: str) -> None:
    """Close the MQTT connections of `client_id`; if there is none that is as good. Raises KickFailed."""
    found = management_call(broker, "GET", "/api/connections?columns=name,variable_map.client_id", accepted=(200,))
    if not isinstance(found, list):
        raise KickFailed("The management API did not list connections.")
    for row in found:
        if row.get("variable_map", {}).get("client_id") == client_id:
            management_call(broker, "DELETE", f"/api/connections/{quote(row['name'], safe='')}", accepted=(204, 404))
