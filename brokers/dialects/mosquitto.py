"""Mosquitto 2.0 and later with the Firstlight plugin, which keeps a replica and asks about no single connection.

Its calls are the feed (deploy/mosquitto/plugin/FEED.md).
"""

from brokers.models import Broker


def configuration(broker: Broker, url: str) -> str:
    """Return the lines for mosquitto.conf, listeners aside."""
    return f"""\
# {broker.name}: Firstlight decides who may connect.
per_listener_settings false
allow_anonymous false
plugin /usr/lib/firstlight/firstlight.so
plugin_opt_url {url}
plugin_opt_broker {broker.pk}
plugin_opt_secret {broker.secret}
"""
