"""VerneMQ: /api/v1/session/disconnect, the command of `vmq-admin`, with an API key as user name (vmq_http_mgmt_api.erl)."""

from urllib.parse import quote

from brokers.kicks.errors import KickFailed
from brokers.kicks.http import management_call
from brokers.models import Broker


def end_session(broker: Broker, client_id: str) -> bool:
    """End the session of `client_id`. VerneMQ does not say whether there was one. Raises KickFailed."""
    if '"' in client_id:
        # VerneMQ puts it into a query of its own, unescaped (vmq_info_cli.erl).
        raise KickFailed("VerneMQ cannot end a session whose client id has a quotation mark.")
    management_call(broker, "GET", f"/api/v1/session/disconnect?client-id={quote(client_id, safe='')}&--cleanup", accepted=(200,))
    return True
