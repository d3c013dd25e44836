"""RabbitMQ with its MQTT plugin and rabbitmq_auth_backend_http, which asks in four calls of plain text."""

from brokers.models import Broker

CALLS = ("user", "vhost", "resource", "topic")


def configuration(broker: Broker, url: str) -> str:
    """Return the lines for rabbitmq.conf, listeners aside."""
    paths = "".join(f"auth_http.{call}_path = {url}/api/brokers/{broker.pk}/{call}?secret={broker.secret}\n" for call in CALLS)
    return f"""\
# {broker.name}: Firstlight decides who may connect. Needs the plugins rabbitmq_mqtt and rabbitmq_auth_backend_http.
# Put this into a file that only RabbitMQ can read.
auth_backends.1 = http
auth_backends.2 = internal
auth_http.http_method = post
{paths}mqtt.allow_anonymous = true
mqtt.default_user = provision
mqtt.default_pass = provision
"""
