"""Content of the page of a device."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest

from console.devices.actions import ACTIONS
from core.lookalikes import name_warnings
from devices.credentials import AccessToken, Credentials, MqttBasic, X509Certificate
from devices.gateways import children_of
from devices.models import Device
from devices.selectors import state_of
from provisioning.selectors import failures_of, latest_attempts

ATTEMPTS_SHOWN = 10
# So many failures since the last success are no accident.
REPEATED = 3
VALUES_SHOWN = 200
CHILDREN_SHOWN = 200
REVEAL = "devices.reveal_devicecredentials"
STATE_COLOURS = {"pre-provisioned": "info", "provisioned": "warning", "in use": "success", "blocked": "danger"}


def device_context(request: HttpRequest, device: Device) -> dict[str, Any]:
    """Return the content of the page: state, values, attempts and available actions. A fixed number of queries."""
    failures = failures_of(device)
    return {
        "device": device,
        "name_warnings": name_warnings(device.name),
        "state": state_of(device),
        "state_colour": STATE_COLOURS[state_of(device)],
        "attributes": device.attributes.order_by("scope", "key")[:VALUES_SHOWN],
        "telemetry": device.telemetry.all()[:VALUES_SHOWN],
        "attempts": latest_attempts(device, ATTEMPTS_SHOWN),
        "failures": failures,
        "fails_repeatedly": failures and failures.count >= REPEATED,
        "children": children_of(device).order_by("name")[:CHILDREN_SHOWN] if device.gateway else (),
        "attempts_query": urlencode({"q": device.name}),
        "actions": [action for action in ACTIONS if request.user.has_perm(action.permission) and _applies(action.name, device)],
        "may_reveal": request.user.has_perm(REVEAL),
    }


def parts(credentials: Credentials) -> list[tuple[str, str]]:
    """Return the parts of `credentials`, each with its label."""
    match credentials:
        case AccessToken(token):
            return [("Access token", token)]
        case MqttBasic(client_id, username, password):
            return [("MQTT client id", client_id), ("MQTT user name", username), ("MQTT password", password)]
        case X509Certificate(body):
            return [("Certificate, base64", body)]


def _applies(action: str, device: Device) -> bool:
    if action == "block":
        return not device.blocked
    if action == "unblock":
        return device.blocked
    return action != "reset_provisioning" or device.provisioned_at is not None
