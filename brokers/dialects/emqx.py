"""EMQX 5 and later: its HTTP authenticator asks once for a connection, and the answer carries the access rules.

Contract: tests/brokers/contracts/emqx.json. Access rules are checked before the mount point is added
(apps/emqx/src/emqx_channel.erl), so they name topics as the device does.
"""

import base64
import binascii
import json
import secrets
from typing import Any

from brokers.admission import Admission, BrokerConnect, Role, admit, authorize
from brokers.calls import Answer, Call, Denial, NotUnderstood
from brokers.models import Broker
from brokers.topics import BOTH, Action

CALLS: tuple[str, ...] = ("authenticate", "authorize")
ISOLATED = True
# `client_attrs.mount` of each client comes before all of its topics. The bridge has none.
MOUNT = {"device": "devices/{}/", "provisioning": "provision/{}"}


def configuration(broker: Broker, url: str) -> str:
    """Return the lines for emqx.conf (HOCON), listeners aside."""
    target, bearer = f"{url}/api/brokers/{broker.pk}", f"Bearer {broker.secret}"
    client = "\n".join(
        f'      {name} = "${{{variable}}}"'
        for name, variable in (("client_id", "clientid"), ("username", "username"), ("address", "peerhost"))
    )
    return f"""\
# {broker.name}: Firstlight decides who may connect.
# MQTT_REQUEST_TOPIC=provision/{{client_id}}/provision/request
# MQTT_RESPONSE_TOPIC=provision/{{client_id}}/provision/response
# MQTT_TOPIC_FROM_DEVICE=devices/{{id}}
# MQTT_TOPIC_TO_DEVICE=devices/{{id}}
listeners.tcp.default.mountpoint = "${{client_attrs.mount}}"
authentication = [
  {{
    mechanism = password_based
    backend = http
    method = post
    url = "{target}/authenticate"
    headers {{
      "content-type" = "application/json"
      "authorization" = "{bearer}"
    }}
    body {{
{client}
      password = "${{password}}"
      certificate = "${{cert_pem}}"
    }}
  }}
]
authorization {{
  no_match = deny
  cache.enable = false
  sources = [
    {{
      type = http
      method = post
      url = "{target}/authorize"
      headers {{
        "content-type" = "application/json"
        "authorization" = "{bearer}"
      }}
      body {{
{client}
        topic = "${{topic}}"
        action = "${{action}}"
      }}
    }}
  ]
}}
"""


def answer(call: Call) -> Answer:
    """Return the answer to `call`. Raises NotUnderstood and django.db.Error."""
    connect = BrokerConnect(
        client_id=call.text("client_id"),
        username=call.text("username"),
        password=call.text("password"),
        address=call.text("address"),
        certificate=_certificate(call.text("certificate")),
    )
    if call.name == "authenticate":
        admission = admit(call.broker, connect, isolated=ISOLATED)
        return (
            _allowed(admission, connect)
            if admission.allowed
            else denied(Denial(admission.reason, connect.client_id, connect.address))
        )
    topic = call.text("topic")
    try:
        action = Action(call.text("action"))
    except ValueError:
        raise NotUnderstood("The action is neither publish nor subscribe.") from None
    admission = authorize(call.broker, connect, action, topic, isolated=ISOLATED)
    if admission.allowed:
        return _json({"result": "allow"})
    return denied(Denial(admission.reason, connect.client_id, connect.address, topic))


def denied(denial: Denial) -> Answer:
    return _json({"result": "deny"}, denial)


def _allowed(admission: Admission, connect: BrokerConnect) -> Answer:
    client_id = connect.client_id
    values: dict[str, Any] = {"result": "allow", "is_superuser": False}
    if admission.role == Role.PROVISIONING and client_id == "provision":
        # Any number of such firmware may connect at once. EMQX 6; older releases let the newest take over the session.
        client_id = values["clientid_override"] = f"provision-{secrets.token_hex(8)}"
    values["client_attrs"] = {"role": str(admission.role), "mount": _mount(admission, client_id)}
    values["acl"] = _access_rules(admission)
    if admission.until:
        values["expire_at"] = int(admission.until.timestamp())
    return _json(values)


def _mount(admission: Admission, client_id: str) -> str:
    if admission.device:
        return MOUNT["device"].format(admission.device.pk)
    return MOUNT["provisioning"].format(client_id) if admission.role == Role.PROVISIONING else ""


def _access_rules(admission: Admission) -> list[dict[str, str]]:
    allowed = [
        {"permission": "allow", "action": "all" if rule.actions == BOTH else next(iter(rule.actions)), "topic": rule.topic_filter}
        for rule in admission.rules
    ]
    # A client operation that no rule matches would go on to the next authorizer, and `no_match` allows by default.
    return [*allowed, *({"permission": "deny", "action": "all", "topic": topic} for topic in ("#", "$SYS/#"))]


def _certificate(text: str) -> bytes:
    """Return the DER form of what EMQX sends for ${cert_pem}: PEM text, in base64; b"" without one."""
    # An older release that does not know the variable sends its name.
    if not text or text.startswith("${"):
        return b""
    try:
        pem = base64.b64decode(text, validate=True).decode("ascii") if not text.startswith("-----") else text
        body = pem.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise NotUnderstood("The certificate is not in PEM form.") from None


def _json(values: dict[str, Any], denial: Denial | None = None) -> Answer:
    return Answer(json.dumps(values).encode(), denial)
