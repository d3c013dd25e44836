"""Devices that provision themselves over each transport, with clients that no one here wrote."""

import json
import subprocess
from typing import Any

from tests.support.processes import program
from tests.support.stack import Stack

REPLY_S = 20


def provision(stack: Stack, transport: str, key: str, secret: str, name: str) -> dict[str, Any]:
    """Return the reply that a device of that name got."""
    body = json.dumps({"deviceName": name, "provisionDeviceKey": key, "provisionDeviceSecret": secret})
    match transport:
        case "HTTP":
            command = [program("curl", "curl"), "-sS", f"{stack.url}/api/v1/provision", "-d", body]
        case "CoAP":
            url = f"coap://127.0.0.1:{stack.coap_port}/api/v1/provision"
            command = [program("coap-client-notls", "libcoap3-bin"), "-m", "post", "-t", "50", "-B", "10", "-e", body, url]
        case "MQTT":
            topics = ["-t", "/provision/request", "-e", "/provision/response"]
            at = ["-h", "127.0.0.1", "-p", str(stack.mqtt_port), "-u", "provision", "-V", "mqttv311", "-W", "15"]
            command = [program("mosquitto_rr", "mosquitto-clients"), *at, *topics, "-m", body]
    return reply_of(command)


def reply_of(command: list[str]) -> dict[str, Any]:
    """Return the JSON object in what `command` prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=REPLY_S, check=False)
    # coap-client prints an answer of 4.00 among its errors.
    printed = done.stdout + done.stderr
    start, end = printed.find("{"), printed.rfind("}")
    assert start >= 0, f"no reply: {printed}"
    reply: dict[str, Any] = json.loads(printed[start : end + 1])
    return reply
