"""What a run tells the person at the terminal: credentials made by a first run, and commands to try them with."""

import json
import shutil

from django.conf import settings

from console.first_run import FirstRun
from core.random_text import random_alphanumeric

# Debian installs libcoap's client once per TLS library, under these names; upstream calls it coap-client.
COAP_CLIENTS = ("coap-client", "coap-client-notls", "coap-client-openssl", "coap-client-gnutls")


def first_greeting(made: FirstRun) -> str:
    """Return what a first run prints. It holds secrets, and is the only place where they are shown."""
    return f"""
This is the first run. Keep what follows: it is not shown again.

  Admin         {_base()}/admin/
  user          {made.username}
  password      {made.password}

  Demo profile  lets any device that knows its key and secret register itself
  key           {made.key}
  secret        {made.secret}

Once the server is ready, register a device. A name can be taken once; change it to run a command again.

HTTP:
  {_curl(made)}

CoAP (Debian: apt-get install libcoap3-bin):
  {_coap(made)}

{_mqtt(made)}"""


def later_greeting() -> str:
    """Return what every later run prints."""
    return f"Firstlight goes on with what is in {settings.DATA_DIR}. A lost admin password: make password"


def _curl(made: FirstRun) -> str:
    return f"curl -sS {_base()}/api/v1/provision -d '{_request(made, 'demo-http')}'"


def _coap(made: FirstRun) -> str:
    client = next((name for name in COAP_CLIENTS if shutil.which(name)), COAP_CLIENTS[1])
    url = f"coap://{_reachable(settings.COAP_HOST)}:{settings.COAP_PORT}/api/v1/provision"
    return f"{client} -m post -t 50 -e '{_request(made, 'demo-coap')}' {url}"


def _mqtt(made: FirstRun) -> str:
    if not settings.MQTT_EMBEDDED_BROKER:
        return "MQTT: through your own broker, MQTT_BROKER_URL; see docs/protocol.md.\n"
    at = f"-h {_reachable(settings.MQTT_HOST)} -p {settings.MQTT_PORT}"
    login = f"{at} -u provision -t /provision/request"
    token = random_alphanumeric()
    own_token = _request(made, "demo-mqtt-2", credentialsType="ACCESS_TOKEN", token=token)
    # At QoS 1 the request is acknowledged once it has been served, so that the next command finds the token known.
    return f"""MQTT (Debian: apt-get install mosquitto-clients), the reply shown by mosquitto_rr:
  mosquitto_rr -V mqttv311 {login} -e /provision/response -m '{_request(made, "demo-mqtt")}'

MQTT, a device that brings its own token, and then sends a measurement with it:
  mosquitto_pub -q 1 {login} -m '{own_token}'
  mosquitto_pub {at} -u {token} -t v1/devices/me/telemetry -m '{{"temperature": 21.5}}'
"""


def _request(made: FirstRun, name: str, **more: str) -> str:
    """Return a request as JSON. Key and secret are alphanumeric, so it can stand between single quotes."""
    return json.dumps({"deviceName": name, "provisionDeviceKey": made.key, "provisionDeviceSecret": made.secret} | more)


def _base() -> str:
    return f"http://{_reachable(settings.HTTP_HOST)}:{settings.HTTP_PORT}"


def _reachable(host: str) -> str:
    """Return a host to connect to, where `host` is one to listen on."""
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 — compared, not listened on
