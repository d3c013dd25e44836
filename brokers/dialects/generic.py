"""Any broker that can ask over HTTP, in a form or in JSON. The status decides: 200 allows, 403 denies."""

from brokers.models import Broker


def configuration(broker: Broker, url: str) -> str:
    """Return what to put into the broker's own words."""
    target = f"{url}/api/brokers/{broker.pk}"
    return f"""\
# {broker.name}: Firstlight decides who may connect. Translate this into your broker's configuration.
# Every call is a POST, form-encoded or JSON, with the header
#   Authorization: Bearer {broker.secret}
# Connect:            {target}/connect    client_id, username, password, address
# Publish, subscribe: {target}/acl        client_id, username, topic, action (publish or subscribe)
# 200 allows, 403 denies.
"""
