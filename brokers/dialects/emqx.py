"""EMQX 5 and later: its HTTP authenticator asks once for a connection, and the answer carries the access rules."""

from brokers.models import Broker


def configuration(broker: Broker, url: str) -> str:
    """Return the lines for emqx.conf (HOCON), listeners aside."""
    return f"""\
# {broker.name}: Firstlight decides who may connect.
authentication = [
  {{
    mechanism = password_based
    backend = http
    method = post
    url = "{url}/api/brokers/{broker.pk}/authenticate"
    headers {{
      content-type = "application/json"
      authorization = "Bearer {broker.secret}"
    }}
    body {{
      client_id = "${{clientid}}"
      username = "${{username}}"
      password = "${{password}}"
      address = "${{peerhost}}"
    }}
  }}
]
authorization {{
  no_match = deny
  deny_action = disconnect
  sources = []
}}
"""
