"""RabbitMQ: its management API knows connections by name, so the one of a client id is looked up first."""

from urllib.parse import quote

from brokers.kicks.errors import KickFailed
from brokers.kicks.http import management_call
from brokers.models import Broker


def end_session(broker: Broker, client_id: str) -> bool:
    """Close the MQTT connections of `client_id`. Return whether there was one. Raises KickFailed.

    The list is made of statistics: a connection is in it some seconds after it was made.
    """
    found = management_call(broker, "GET", "/api/connections?columns=name,variable_map.client_id", accepted=(200,)).content
    if not isinstance(found, list):
        raise KickFailed("The management API did not list connections.")
    names = [row["name"] for row in found if row.get("variable_map", {}).get("client_id") == client_id]
    for name in names:
        management_call(broker, "DELETE", f"/api/connections/{quote(name, safe='')}", accepted=(204, 404))
    return bool(names)
