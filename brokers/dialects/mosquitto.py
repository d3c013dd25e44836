"""Mosquitto 2.0 and later with the Firstlight plugin, which keeps a replica and asks about no single connection.

Its calls are the feed (deploy/mosquitto/plugin/FEED.md).
"""

from brokers.calls import Answer, Call, Denial, NotUnderstood
from brokers.models import Broker

CALLS: tuple[str, ...] = ()
ISOLATED = True


def configuration(broker: Broker, url: str) -> str:
    """Return the lines for mosquitto.conf, listeners aside."""
    return f"""\
# {broker.name}: Firstlight decides who may connect.
per_listener_settings false
allow_anonymous false
# Requests reach the bridge at QoS 1, and wait for it while it restarts.
upgrade_outgoing_qos true
max_inflight_messages 200
max_queued_messages 100000
message_size_limit 131072
plugin /usr/lib/firstlight/firstlight.so
plugin_opt_url {url}
plugin_opt_broker {broker.pk}
plugin_opt_secret {broker.secret}
"""


def answer(call: Call) -> Answer:
    """Raise NotUnderstood: the plugin asks by the feed only."""
    raise NotUnderstood(f"Mosquitto does not ask like this: {call.name}")


def denied(denial: Denial) -> Answer:
    return Answer(b"deny", denial, content_type="text/plain", status=403)
