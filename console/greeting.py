"""The greeting of `make run`: the credentials of the first run, and commands to try them."""

import shutil

from django.conf import settings

from console.addresses import Addresses, own_addresses
from console.client_commands import coap_client, curl, mosquitto_pub, mosquitto_rr, request_body
from console.first_run import FirstRun
from core.random_text import random_alphanumeric
from transports.mqtt.broker.server_certificate import server_files

# Debian installs libcoap's client for each TLS library, under these names; upstream calls it coap-client.
COAP_CLIENTS = ("coap-client", "coap-client-notls", "coap-client-openssl", "coap-client-gnutls")


_TLS = """
MQTT with TLS on port {port}. Devices trust this CA: {ca}
"""


def first_greeting(made: FirstRun) -> str:
    """Return the greeting of the first run. It contains secrets that are shown nowhere else."""
    at = own_addresses()
    client = next((name for name in COAP_CLIENTS if shutil.which(name)), COAP_CLIENTS[1])
    return f"""
This is the first run. Keep the following: it is not shown again.

  Admin         {at.http_url}/admin/
  user          {made.username}
  password      {made.password}

  Demo profile  lets any device with its key and secret provision
  key           {made.key}
  secret        {made.secret}

When the server is ready, provision a device. Each name can be used once; change it to run a command again.

HTTP:
  {" ".join(curl(request_body(made.key, made.secret, "demo-http"), at))}

CoAP (Debian: apt-get install libcoap3-bin):
  {" ".join(coap_client(request_body(made.key, made.secret, "demo-coap"), at, client))}

{_mqtt(made, at)}"""


def later_greeting() -> str:
    """Return the greeting of later runs."""
    return f"Using the data in {settings.DATA_DIR}. To set a new admin password: make password"


def _mqtt(made: FirstRun, at: Addresses) -> str:
    if not settings.MQTT_EMBEDDED_BROKER:
        return "MQTT: through your own broker, MQTT_BROKER_URL; see docs/mqtt.md.\n"
    token = random_alphanumeric()
    own_token = request_body(made.key, made.secret, "demo-mqtt-2", credentialsType="ACCESS_TOKEN", token=token)
    files = server_files() if settings.MQTT_TLS_PORT is not None else None
    tls = _TLS.format(port=settings.MQTT_TLS_PORT, ca=files.ca) if files and files.ca else ""
    return f"""MQTT (Debian: apt-get install mosquitto-clients), mosquitto_rr prints the reply:
  {" ".join(mosquitto_rr(request_body(made.key, made.secret, "demo-mqtt"), at, "demo"))}

MQTT, a device that chooses its own token and then sends a measurement with it:
  {" ".join(mosquitto_pub(own_token, at, "demo"))}
  mosquitto_pub -h {at.mqtt_host} -p {at.mqtt_port} -u {token} -t v1/devices/me/telemetry -m '{{"temperature": 21.5}}'
{tls}"""
