"""Shell commands that provision a device, for the greeting of the first run and the page of a profile.

Each is returned in parts, between which a line may break.
"""

import json
import shlex

from console.addresses import Addresses

PATH = "/api/v1/provision"
# Breaks a command into lines for a page.
NEXT_LINE = " \\\n  "


def request_body(key: str, secret: str, device_name: str, **more: str) -> str:
    """Return a provision request as JSON."""
    return json.dumps({"deviceName": device_name, "provisionDeviceKey": key, "provisionDeviceSecret": secret} | more)


def curl(body: str, at: Addresses) -> list[str]:
    """Return the command that provisions over HTTP."""
    return [f"curl -sS {shlex.quote(at.http_url + PATH)}", "-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]


def coap_client(body: str, at: Addresses, program: str = "coap-client-notls") -> list[str]:
    """Return the command that provisions over CoAP with libcoap's client."""
    return [f"{program} -m post -t application/json", f"-e {shlex.quote(body)}", shlex.quote(at.coap_url + PATH)]


def mosquitto_rr(body: str, at: Addresses, client_id: str) -> list[str]:
    """Return the command that provisions over MQTT and prints the reply."""
    request, response = (topic.format(client_id=client_id) for topic in (at.request_topic, at.response_topic))
    topics = f"-t {shlex.quote(request)} -e {shlex.quote(response)}"
    return [f"mosquitto_rr {_login(at, client_id)} -W 15", topics, f"-m {shlex.quote(body)}"]


def mosquitto_pub(body: str, at: Addresses, client_id: str) -> list[str]:
    """Return the command that provisions a device with its own token, which needs no reply.

    At QoS 1 the request is acknowledged after its commit, so the next command can use the token.
    """
    topic = shlex.quote(at.request_topic.format(client_id=client_id))
    return [f"mosquitto_pub -q 1 {_login(at, client_id)}", f"-t {topic}", f"-m {shlex.quote(body)}"]


def _login(at: Addresses, client_id: str) -> str:
    tls = " --tls-use-os-certs" if at.mqtt_tls else ""
    return f"-h {shlex.quote(at.mqtt_host)} -p {at.mqtt_port} -u provision -i {client_id} -V mqttv311{tls}"
