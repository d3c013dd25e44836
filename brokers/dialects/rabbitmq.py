"""RabbitMQ with its MQTT plugin and rabbitmq_auth_backend_http, which asks in four calls of plain text.

Contract: tests/brokers/contracts/rabbitmq.json, recorded from RabbitMQ 3.10. A topic arrives as the routing key of the
exchange amq.topic, with `.` between the levels. Only `user` and `topic` name the MQTT client id.
"""

import re

from django.conf import settings

from brokers import sessions
from brokers.admission import BrokerConnect, admit, authorize, is_provisioning
from brokers.calls import Answer, Call, Denial, NotUnderstood
from brokers.models import Broker
from brokers.topics import Action

CALLS: tuple[str, ...] = ("user", "vhost", "resource", "topic")
ISOLATED = False
_ACTIONS = {"write": Action.PUBLISH, "read": Action.SUBSCRIBE}
_QUEUE = re.compile(r"mqtt-subscription-(.+)qos[01]", re.DOTALL)


def configuration(broker: Broker, url: str) -> str:
    """Return the lines for rabbitmq.conf, listeners aside."""
    calls = "".join(f"auth_http.{call}_path = {url}/api/brokers/{broker.pk}/{call}?secret={broker.secret}\n" for call in CALLS)
    return f"""\
# {broker.name}: Firstlight decides who may connect. Only RabbitMQ may read this file, it holds the secret.
# Needs: rabbitmq-plugins enable rabbitmq_mqtt rabbitmq_auth_backend_http rabbitmq_management
auth_backends.1 = internal
auth_backends.2 = http
auth_http.http_method = post
{calls}mqtt.allow_anonymous = false
mqtt.subscription_ttl = 86400000
"""


def answer(call: Call) -> Answer:
    """Return the answer to `call`. Raises NotUnderstood and django.db.Error."""
    match call.name:
        case "user":
            return _user(call)
        case "vhost":
            # It names no client id, and `user` comes first.
            return _text("allow")
        case "resource":
            return _resource(call)
        case _:
            return _topic(call)


def denied(denial: Denial) -> Answer:
    return _text("deny", denial)


def _user(call: Call) -> Answer:
    connect = BrokerConnect(client_id=call.text("client_id"), username=call.text("username"), password=call.text("password"))
    if not connect.client_id:
        return denied(Denial("Not an MQTT client: over AMQP a device could read the queues of others."))
    admission = admit(call.broker, connect, isolated=ISOLATED)
    return _text("allow") if admission.allowed else denied(Denial(admission.reason, connect.client_id))


def _resource(call: Call) -> Answer:
    """Answer for an exchange or a queue: amq.topic, and the queues in which the MQTT plugin keeps a client's messages."""
    kind, name, username = call.text("resource"), call.text("name"), call.text("username")
    if kind == "exchange" and name == "amq.topic":
        return _text("allow")
    queue = _QUEUE.fullmatch(name) if kind == "queue" else None
    if queue is None:
        return denied(Denial(f"No MQTT client needs the {kind} {name}."[:200]))
    client_id = queue[1]
    if username == settings.MQTT_BRIDGE_USERNAME or is_provisioning(client_id, username):
        return _text("allow")
    if sessions.device_with_client_id(call.broker, [client_id]):
        return _text("allow")
    return denied(Denial("No device was admitted with this client id.", client_id))


def _topic(call: Call) -> Answer:
    client_id = call.text("variable_map.client_id")
    topic = call.text("routing_key").replace(".", "/").replace("*", "+")
    action = _ACTIONS.get(call.text("permission"))
    if action is None:
        raise NotUnderstood("The permission is neither read nor write.")
    connect = BrokerConnect(client_id=client_id, username=call.text("username"))
    admission = authorize(call.broker, connect, action, topic, isolated=ISOLATED)
    return _text("allow") if admission.allowed else denied(Denial(admission.reason, client_id, topic=topic))


def _text(word: str, denial: Denial | None = None) -> Answer:
    return Answer(word.encode(), denial, content_type="text/plain")
