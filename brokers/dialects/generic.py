"""Any broker that can ask over HTTP, in a form or in JSON. The status decides: 200 allows, 403 denies.

The JSON in the answer is for brokers and scripts that want to know more. NanoMQ sends %c, %u, %P; mosquitto-go-auth
sends `clientid`, `username`, `password`, `topic` and `acc`.
"""

import json
from typing import Any

from brokers.admission import BrokerConnect, admit, authorize
from brokers.calls import Answer, Call, Denial, NotUnderstood
from brokers.models import Broker
from brokers.topics import Action

CALLS: tuple[str, ...] = ("connect", "acl", "superuser")
ISOLATED = False
# Words of brokers for the two actions; the numbers are mosquitto-go-auth's: 1 read, 2 write, 3 both, 4 subscribe.
_ACTIONS = {
    "publish": (Action.PUBLISH,),
    "pub": (Action.PUBLISH,),
    "write": (Action.PUBLISH,),
    "2": (Action.PUBLISH,),
    "subscribe": (Action.SUBSCRIBE,),
    "sub": (Action.SUBSCRIBE,),
    "read": (Action.SUBSCRIBE,),
    "1": (Action.SUBSCRIBE,),
    "4": (Action.SUBSCRIBE,),
    "3": (Action.PUBLISH, Action.SUBSCRIBE),
}


def configuration(broker: Broker, url: str) -> str:
    """Return what to express in the broker's own configuration."""
    target = f"{url}/api/brokers/{broker.pk}"
    return f"""\
# {broker.name}: Firstlight decides who may connect. Translate this into your broker's configuration.
# Every call is a POST, form-encoded or JSON, with the header
#   Authorization: Bearer {broker.secret}
# or, where no header can be set, with ?secret={broker.secret} in the address.
# Connect:            {target}/connect
#                     client_id, username, password, address
# Publish, subscribe: {target}/acl
#                     client_id, username, topic, action (publish or subscribe)
# Superuser:          {target}/superuser always denies.
# 200 allows, 403 denies. Anything but a 200 must be denied.
"""


def answer(call: Call) -> Answer:
    """Return the answer to `call`. Raises NotUnderstood and django.db.Error."""
    connect = BrokerConnect(
        client_id=call.text("client_id") or call.text("clientid"),
        username=call.text("username"),
        password=call.text("password"),
        address=call.text("address") or call.text("ipaddress"),
    )
    if call.name == "superuser":
        return _json({"result": "deny"}, None, 403)
    if call.name == "connect":
        admission = admit(call.broker, connect, isolated=ISOLATED)
        if not admission.allowed:
            return denied(Denial(admission.reason, connect.client_id, connect.address))
        rules = [{"topic": rule.topic_filter, "actions": sorted(rule.actions)} for rule in admission.rules]
        device = str(admission.device.pk) if admission.device else None
        return _json({"result": "allow", "role": admission.role, "device_id": device, "topics": rules})
    topic = call.text("topic")
    actions = _ACTIONS.get(call.text("action") or call.text("access") or call.text("acc"))
    if actions is None:
        raise NotUnderstood("The action is neither publish nor subscribe.")
    for action in actions:
        admission = authorize(call.broker, connect, action, topic, isolated=ISOLATED)
        if not admission.allowed:
            return denied(Denial(admission.reason, connect.client_id, connect.address, topic))
    return _json({"result": "allow"})


def denied(denial: Denial) -> Answer:
    return _json({"result": "deny"}, denial, 403)


def _json(values: dict[str, Any], denial: Denial | None = None, status: int = 200) -> Answer:
    return Answer(json.dumps(values).encode(), denial, status=status)
