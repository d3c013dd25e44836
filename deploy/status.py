"""Print in the terminal of `make run` when everything is ready, and later when something is not.

Needs nothing but Python, so it uses little memory. It polls `/readyz`, as a load balancer would.
"""

import json
import os
import time
import urllib.error
import urllib.request

HOST = os.environ.get("HTTP_HOST", "127.0.0.1")
BASE = f"http://{HOST}:{os.environ.get('HTTP_PORT', '8080')}"
POLL_STARTING_S = 0.25
POLL_RUNNING_S = 2.0
ANSWER_TIMEOUT_S = 5.0

MQTT = f"mqtt://{os.environ.get('MQTT_HOST', '127.0.0.1')}:{os.environ.get('MQTT_PORT', '1883')}"
COAP = f"coap://{os.environ.get('COAP_HOST', '127.0.0.1')}:{os.environ.get('COAP_PORT', '5683')}"
# MQTT_BROKER_URL is not printed: it may hold a password.
READY = f"Firstlight is ready: {BASE}/admin/  {'your MQTT broker' if os.environ.get('MQTT_BROKER_URL') else MQTT}  {COAP}"


def not_ready() -> str:
    """Return what is not ready, as one phrase; "" if everything is ready."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy between us
    try:
        with opener.open(f"{BASE}/readyz", timeout=ANSWER_TIMEOUT_S):
            return ""
    except urllib.error.HTTPError as answer:
        processes: dict[str, str] = json.load(answer)["processes"]
        return ", ".join(f"{name} ({state})" for name, state in processes.items() if state != "ready")
    except (OSError, ValueError):
        return "web (no answer)"


def main() -> None:
    before: str | None = None
    while True:
        missing = not_ready()
        if not missing and before != missing:
            print(READY, flush=True)
        elif missing and before == "":
            print(f"No longer ready: {missing}", flush=True)
        if not missing or before is not None:
            before = missing
        time.sleep(POLL_RUNNING_S if before == "" else POLL_STARTING_S)


if __name__ == "__main__":
    main()
