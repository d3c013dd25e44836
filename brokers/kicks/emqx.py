"""EMQX: DELETE /api/v5/clients/{clientid} with an API key (apps/emqx_management/src/emqx_mgmt_api_clients.erl)."""

from urllib.parse import quote

from brokers.kicks.http import management_call
from brokers.models import Broker


def end_session(broker: Broker, client_id: str) -> None:
    """End the session of `client_id`; one that is not there is as good. Raises KickFailed."""
    management_call(broker, "DELETE", f"/api/v5/clients/{quote(client_id, safe='')}", accepted=(204, 404))
