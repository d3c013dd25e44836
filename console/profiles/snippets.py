"""Snippets to provision a device of one profile: complete, and filled in for this profile and host."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from string import Template

from console.addresses import Addresses
from console.client_commands import NEXT_LINE, PATH, coap_client, curl, mosquitto_pub, mosquitto_rr, request_body

CLIENT_ID = "my-device"
# Placeholders for operators who may not see the key.
KEY_PLACEHOLDER = "PROVISION_DEVICE_KEY"
SECRET_PLACEHOLDER = "PROVISION_DEVICE_SECRET"  # noqa: S105 - a placeholder


@dataclass(frozen=True, slots=True)
class Pair:
    """Key and secret that devices present, the secret by the device's name; or placeholders."""

    key: str = field(repr=False, default=KEY_PLACEHOLDER)
    secret_for: Callable[[str], str] = field(repr=False, default=lambda _name: SECRET_PLACEHOLDER)


@dataclass(frozen=True, slots=True)
class Snippet:
    """`name` is unique within a profile; `needs` says what must be installed."""

    name: str
    title: str
    needs: str
    text: str = field(repr=False)


def snippets(pair: Pair, addresses: Addresses, *, device_name: str) -> list[Snippet]:
    """Return the snippets for devices that present `pair`."""
    body = request_body(pair.key, pair.secret_for(device_name), device_name)
    return [
        Snippet("curl", "curl", "Debian: apt-get install curl", NEXT_LINE.join(curl(body, addresses))),
        Snippet(
            "mosquitto",
            "Mosquitto",
            "Debian: apt-get install mosquitto-clients",
            _mosquitto(body, _with_token(pair, device_name), addresses),
        ),
        Snippet(
            "coap-client", "coap-client", "Debian: apt-get install libcoap3-bin", NEXT_LINE.join(coap_client(body, addresses))
        ),
        Snippet("paho", "Python, MQTT", "pip install 'paho-mqtt>=2'", _fill(_PAHO, body, addresses)),
        Snippet("aiocoap", "Python, CoAP", "pip install aiocoap", _fill(_AIOCOAP, body, addresses)),
        Snippet("arduino", "ESP32, Arduino", "Libraries: PubSubClient, ArduinoJson 7", _fill(_ARDUINO, body, addresses)),
    ]


def _mosquitto(body: str, body_with_token: str, at: Addresses) -> str:
    with_reply = NEXT_LINE.join(mosquitto_rr(body, at, CLIENT_ID))
    own_token = NEXT_LINE.join(mosquitto_pub(body_with_token, at, CLIENT_ID))
    return f"# Provision and print the reply:\n{with_reply}\n\n# A device that chose its own token needs no reply:\n{own_token}"


def _with_token(pair: Pair, device_name: str) -> str:
    name = device_name + "-own-token"
    own = {"credentialsType": "ACCESS_TOKEN", "token": "CHANGE-ME-own-token"}
    return request_body(pair.key, pair.secret_for(name), name, **own)


def _fill(template: str, body: str, at: Addresses) -> str:
    """Return `template` with each value as a JSON literal, which is also valid in Python and C++."""
    fields = json.loads(body)
    values = {
        "name": fields["deviceName"],
        "key": fields["provisionDeviceKey"],
        "secret": fields["provisionDeviceSecret"],
        "mqtt_host": at.mqtt_host,
        "mqtt_port": at.mqtt_port,
        "request_topic": at.request_topic.format(client_id=CLIENT_ID),
        "response_topic": at.response_topic.format(client_id=CLIENT_ID),
        "coap_url": at.coap_url + PATH,
    }
    literals = {name: json.dumps(value) for name, value in values.items()}
    tls_python = "client.tls_set()\n" if at.mqtt_tls else ""
    client_class = "WiFiClientSecure" if at.mqtt_tls else "WiFiClient"
    return Template(template).substitute(literals, tls_python=tls_python, client_class=client_class)


_PAHO = """\
import json
import queue

import paho.mqtt.client as mqtt

REQUEST = {
    "deviceName": $name,
    "provisionDeviceKey": $key,
    "provisionDeviceSecret": $secret,
}
replies = queue.Queue()


def on_connect(client, userdata, flags, reason_code, properties):
    client.subscribe($response_topic)


def on_subscribe(client, userdata, mid, reason_codes, properties):
    client.publish($request_topic, json.dumps(REQUEST))


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="my-device", protocol=mqtt.MQTTv311)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = lambda client, userdata, message: replies.put(json.loads(message.payload))
client.username_pw_set("provision")
${tls_python}client.connect($mqtt_host, $mqtt_port)
client.loop_start()
print(json.dumps(replies.get(timeout=15)))
client.disconnect()
client.loop_stop()
"""

_AIOCOAP = """\
import asyncio
import json

from aiocoap import POST, Context, Message

REQUEST = {
    "deviceName": $name,
    "provisionDeviceKey": $key,
    "provisionDeviceSecret": $secret,
}


async def main():
    context = await Context.create_client_context()
    request = Message(code=POST, uri=$coap_url, payload=json.dumps(REQUEST).encode())
    request.opt.content_format = 50
    response = await asyncio.wait_for(context.request(request).response, 15)
    print(response.payload.decode())
    await context.shutdown()


asyncio.run(main())
"""

_ARDUINO = """\
#include <ArduinoJson.h>
#include <PubSubClient.h>
#include <WiFi.h>
#include <WiFiClientSecure.h>

const char *WIFI_NAME = "your network";
const char *WIFI_PASSWORD = "your password";

$client_class network;  // WiFiClientSecure also needs network.setCACert(…)
PubSubClient mqtt(network);
String accessToken;

void onMessage(char *topic, byte *payload, unsigned int length) {
  JsonDocument reply;
  if (deserializeJson(reply, payload, length) || reply["status"] != "SUCCESS") {
    Serial.println("Not provisioned");
    return;
  }
  accessToken = reply["credentialsValue"].as<String>();  // keep it in flash (Preferences), and use it from now on
  Serial.println("Provisioned");
}

void setup() {
  Serial.begin(115200);
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  while (WiFi.status() != WL_CONNECTED) delay(200);
  mqtt.setServer($mqtt_host, $mqtt_port);
  mqtt.setBufferSize(1024);  // the default of 256 bytes cuts the reply off
  mqtt.setCallback(onMessage);
  mqtt.connect("my-device", "provision", nullptr);
  mqtt.subscribe($response_topic);

  JsonDocument request;
  request["deviceName"] = $name;
  request["provisionDeviceKey"] = $key;
  request["provisionDeviceSecret"] = $secret;
  String body;
  serializeJson(request, body);
  mqtt.publish($request_topic, body.c_str());
}

void loop() {
  mqtt.loop();
}
"""
