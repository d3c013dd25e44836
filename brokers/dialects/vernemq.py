"""VerneMQ with its webhooks: one address for all hooks, whose name is in the header `vernemq-hook`.

Contract: tests/brokers/contracts/vernemq.json. Replies and the device API are kept apart by rewriting topics: what a
client publishes and subscribes to gets the client's own prefix, and loses it again when it is delivered.
"""

import base64
import binascii
import json
from typing import Any

from brokers.admission import BrokerConnect, Role, admit, authorize
from brokers.calls import Answer, Call, Denial, NotUnderstood
from brokers.models import Broker
from brokers.topics import Action

CALLS: tuple[str, ...] = ("hook",)
ISOLATED = True
HOOKS = ("auth_on_register", "auth_on_publish", "auth_on_subscribe", "on_deliver")
DENIED_QOS = 128


def configuration(broker: Broker, url: str) -> str:
    """Return the lines for vernemq.conf, listeners aside."""
    target = f"{url}/api/brokers/{broker.pk}/hook?secret={broker.secret}"
    hooks = "".join(
        f"vmq_webhooks.{hook}.hook = {hook}\nvmq_webhooks.{hook}.endpoint = {target}\n"
        + ("" if name in ("auth_on_register", "auth_on_subscribe") else f"vmq_webhooks.{hook}.no_payload = on\n")
        for name in HOOKS
        for hook in (name, f"{name}_m5")
    )
    return f"""\
# {broker.name}: Firstlight decides who may connect. Only VerneMQ may read this file, it holds the secret.
# MQTT_REQUEST_TOPIC=provision/{{client_id}}/provision/request
# MQTT_RESPONSE_TOPIC=provision/{{client_id}}/provision/response
# MQTT_TOPIC_FROM_DEVICE=devices/{{id}}
# MQTT_TOPIC_TO_DEVICE=devices/{{id}}
allow_anonymous = off
plugins.vmq_passwd = off
plugins.vmq_acl = off
plugins.vmq_webhooks = on
{hooks}"""


def answer(call: Call) -> Answer:
    """Return the answer to `call`. Raises NotUnderstood and django.db.Error."""
    hook = call.name.removesuffix("_m5")
    if hook not in HOOKS:
        raise NotUnderstood("This hook is not known.")
    connect = BrokerConnect(
        client_id=call.text("client_id"),
        username=call.text("username"),
        password=call.text("password"),
        address=call.text("peer_addr"),
        certificate=_certificate(call.text("client_cert")),
    )
    if hook == "auth_on_register":
        admission = admit(call.broker, connect, isolated=ISOLATED)
        return (
            _json({"result": "ok"}) if admission.allowed else denied(Denial(admission.reason, connect.client_id, connect.address))
        )
    if hook == "auth_on_subscribe":
        return _subscribe(call, connect)
    if hook == "on_deliver":
        return _deliver(call, connect)
    topic = call.text("topic")
    admission = authorize(call.broker, connect, Action.PUBLISH, topic, isolated=ISOLATED)
    if not admission.allowed:
        return denied(Denial(admission.reason, connect.client_id, topic=topic))
    return _json({"result": "ok", "modifiers": {"topic": _prefix(admission.role, admission.device, connect) + topic}})


def denied(denial: Denial) -> Answer:
    return _json({"result": {"error": "not_allowed"}}, denial)


def _subscribe(call: Call, connect: BrokerConnect) -> Answer:
    """Answer for all filters of a SUBSCRIBE: each is granted with its prefix, or refused by a QoS of 128."""
    topics, refused = [], None
    for name, entry in _filters(call):
        admission = authorize(call.broker, connect, Action.SUBSCRIBE, name, isolated=ISOLATED)
        if admission.allowed:
            topics.append({**entry, "topic": _prefix(admission.role, admission.device, connect) + name})
        else:
            topics.append({**entry, "qos": DENIED_QOS})
            refused = Denial(admission.reason, connect.client_id, topic=name)
    if refused and all(entry["qos"] == DENIED_QOS for entry in topics):
        return denied(refused)
    modifiers = {"modifiers": {"topics": topics}} if call.name.endswith("_m5") else {"topics": topics}
    return _json({"result": "ok", **modifiers}, refused)


def _deliver(call: Call, connect: BrokerConnect) -> Answer:
    topic = call.text("topic")
    if connect.username == "bridge":
        return _json({"result": "ok"})
    # devices/{id}/… and provision/{client id}/…; what has no such prefix is not rewritten.
    kind, _, rest = topic.partition("/")
    own = rest.partition("/")[2]
    if kind == "devices":
        return _json({"result": "ok", "modifiers": {"topic": own}})
    return _json({"result": "ok", "modifiers": {"topic": f"/{own}"}} if kind == "provision" else {"result": "ok"})


def _filters(call: Call) -> list[tuple[str, dict[str, Any]]]:
    entries = call.fields.get("topics")
    if not isinstance(entries, list) or not entries:
        raise NotUnderstood("The topics are no list.")
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("topic"), str) or not isinstance(entry.get("qos"), int):
            raise NotUnderstood("A topic has no name or QoS.")
        found.append((entry["topic"], {"topic": entry["topic"], "qos": entry["qos"]}))
    return found


def _prefix(role: Role | None, device: Any, connect: BrokerConnect) -> str:
    if device:
        return f"devices/{device.pk}/"
    return f"provision/{connect.client_id}" if role == Role.PROVISIONING else ""


def _certificate(text: str) -> bytes:
    """Return the certificate's DER form, which comes in base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotUnderstood("The certificate is not in base64.") from None


def _json(values: dict[str, Any], denial: Denial | None = None) -> Answer:
    return Answer(json.dumps(values).encode(), denial)
