"""What `make run` prints: the credentials that a first run made, and commands to try them."""

import shutil

from django.conf import settings

from console.addresses import Addresses, own_addresses
from console.client_commands import coap_client, curl, mosquitto_pub, mosquitto_rr, request_body
from console.first_run import FirstRun
from core.random_text import random_alphanumeric

# Debian installs libcoap's client once per TLS library, under these names; upstream calls it coap-client.
COAP_CLIENTS = ("coap-client", "coap-client-notls", "coap-client-openssl", "coap-client-gnutls")


def first_greeting(made: FirstRun) -> str:
    """Return what a first run prints. It holds secrets, and is the only place where they are shown."""
    at = own_addresses()
    client = next((name for name in COAP_CLIENTS if shutil.which(name)), COAP_CLIENTS[1])
    return f"""
This is the first run. Keep what follows: it is not shown again.

  Admin         {at.http_url}/admin/
  user          {made.username}
  password      {made.password}

  Demo profile  lets any device that knows its key and secret register itself
  key           {made.key}
  secret        {made.secret}

Once the server is ready, register a device. A name can be taken once; change it to run a command again.

HTTP:
  {" ".join(curl(request_body(made.key, made.secret, "demo-http"), at))}

CoAP (Debian: apt-get install libcoap3-bin):
  {" ".join(coap_client(request_body(made.key, made.secret, "demo-coap"), at, client))}

{_mqtt(made, at)}"""


def later_greeting() -> str:
    """Return what every later run prints."""
    return f"Firstlight goes on with what is in {settings.DATA_DIR}. A lost admin password: make password"


def _mqtt(made: FirstRun, at: Addresses) -> str:
    if not settings.MQTT_EMBEDDED_BROKER:
        return "MQTT: through your own broker, MQTT_BROKER_URL; see docs/mqtt.md.\n"
    token = random_alphanumeric()
    own_token = request_body(made.key, made.secret, "demo-mqtt-2", credentialsType="ACCESS_TOKEN", token=token)
    return f"""MQTT (Debian: apt-get install mosquitto-clients), the reply shown by mosquitto_rr:
  {" ".join(mosquitto_rr(request_body(made.key, made.secret, "demo-mqtt"), at, "demo"))}

MQTT, a device that brings its own token, and then sends a measurement with it:
  {" ".join(mosquitto_pub(own_token, at, "demo"))}
  mosquitto_pub -h {at.mqtt_host} -p {at.mqtt_port} -u {token} -t v1/devices/me/telemetry -m '{{"temperature": 21.5}}'
"""
