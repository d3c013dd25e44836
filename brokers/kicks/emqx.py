"""EMQX: DELETE /api/v5/clients/{clientid} with an API key (apps/emqx_management/src/emqx_mgmt_api_clients.erl)."""

from urllib.parse import quote

from brokers.kicks.http import management_call
from brokers.models import Broker


def end_session(broker: Broker, client_id: str) -> bool:
    """End the session of `client_id`. Return whether there was one. Raises KickFailed."""
    path = f"/api/v5/clients/{quote(client_id, safe='')}"
    return management_call(broker, "DELETE", path, accepted=(204, 404)).status != 404
