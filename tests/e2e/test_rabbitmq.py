"""A real RabbitMQ that asks Firstlight: provision over topics of one's own, connect with what was issued, be kicked."""

import json
import queue
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.processes import Server, wait_for
from tests.support.rabbitmq import RabbitMQ
from tests.support.web import ROOT, Web, create_profile, manage

WAIT_S = 60.0


class Client:
    """An MQTT 3.1.1 client. `heard` has topics and bodies; `connected` is None until the broker has answered."""

    def __init__(self, port: int, client_id: str, username: str, password: str = "-") -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.connected: bool | None = None
        self.gone = False
        self.granted: list[int] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv311, reconnect_on_failure=False)
        self._client.username_pw_set(username, password)
        self._client.on_connect = lambda _c, _d, _f, reason, _p: setattr(self, "connected", not reason.is_failure)
        self._client.on_disconnect = lambda *_: setattr(self, "gone", True)
        self._client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.granted.extend(reason.value for reason in reasons)
        self._client.on_message = lambda _c, _d, message: self.heard.put((message.topic, message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_for(lambda: self.connected is not None or self.gone, f"an answer to {client_id}", WAIT_S)

    def subscribe(self, topic: str) -> bool:
        """Return whether it was granted; RabbitMQ hangs up where it was not."""
        before = len(self.granted)
        self._client.subscribe(topic, qos=1)
        wait_for(lambda: len(self.granted) > before or self.gone, f"the subscription to {topic}", WAIT_S)
        return not self.gone and self.granted[-1] < 128

    def publish(self, topic: str, body: bytes) -> bool:
        """Return whether it was acknowledged; RabbitMQ hangs up where it may not."""
        info = self._client.publish(topic, body, qos=1)
        wait_for(lambda: info.is_published() or self.gone, f"the acknowledgement on {topic}", WAIT_S)
        return info.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Web, RabbitMQ, dict[str, str]]]:
    rabbit = RabbitMQ(tmp_path / "rabbitmq")
    web = Web(tmp_path / "web")
    try:
        options = [
            "--mqtt-url",
            f"mqtt://127.0.0.1:{rabbit.mqtt_port}",
            "--management-url",
            rabbit.management_url,
            "--management-user",
            "admin",
        ]
        made = manage(
            web.environment,
            *("create_broker", "rabbit", "--kind", "rabbitmq", "--url", f"http://127.0.0.1:{web.port}", "--json"),
            *options,
            *("--management-password", "admin-in-tests"),
        )
        broker: dict[str, str] = json.loads(made.splitlines()[-1])
        rabbit.start(broker["config"])
        yield web, rabbit, broker
    finally:
        rabbit.stop()
        web.server.kill()


def provisioned(rabbit: RabbitMQ, profile: dict[str, str], name: str) -> dict[str, Any]:
    """Return the answer to a device that asks on its own topics."""
    device = Client(rabbit.mqtt_port, name, "provision")
    assert device.connected
    assert device.subscribe(f"/provision/response/{name}")
    body = {"deviceName": name, "provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}
    assert device.publish(f"/provision/request/{name}", json.dumps(body).encode())
    topic, answer = device.heard.get(timeout=WAIT_S)
    assert topic == f"/provision/response/{name}"
    device.close()
    return dict(json.loads(answer))


@pytest.mark.timeout(600)
def test_devices_live_on_a_rabbitmq_that_asks_firstlight(site: tuple[Web, RabbitMQ, dict[str, str]], tmp_path: Path):
    web, rabbit, broker = site
    profile = create_profile(web.environment, "sensors")
    pattern = "from profiles.models import *; DeviceProfile.objects.update(topic_pattern='plant/{device_name}/#')"
    manage(web.environment, "shell", "-v", "0", "-c", pattern)
    environment = web.environment | {
        "MQTT_BROKER_URL": f"mqtt://bridge@127.0.0.1:{rabbit.mqtt_port}",
        "MQTT_BROKER_PASSWORD": broker["secret"],
        "MQTT_DEVICE_URL": f"mqtt://127.0.0.1:{rabbit.mqtt_port}",
    }
    bridge = Server([sys.executable, "manage.py", "mqtt_bridge"], tmp_path / "bridge.log", env=environment, cwd=ROOT)
    try:
        wait_for(lambda: "Connected to the broker" in bridge.output() or not bridge.alive, "the bridge", WAIT_S)
        assert bridge.alive, bridge.output()

        # Provision, while somebody tries to listen.
        eve = Client(rabbit.mqtt_port, "eve", "provision")
        assert not eve.subscribe("/provision/response/+")
        answers = [provisioned(rabbit, profile, name) for name in ("d1", "d2")]
        assert [answer["status"] for answer in answers] == ["SUCCESS", "SUCCESS"]
        tokens = [answer["credentialsValue"] for answer in answers]

        # Only the credentials that were issued open the broker, and they open it for their own topics.
        assert not Client(rabbit.mqtt_port, "stranger", "no-such-token").connected
        assert not Client(rabbit.mqtt_port, "stranger", "bridge", "not-the-secret").connected
        other = Client(rabbit.mqtt_port, "d2-client", tokens[1])
        assert other.connected
        assert other.subscribe("plant/d2/#")
        one = Client(rabbit.mqtt_port, "d1-client", tokens[0])
        assert one.connected
        assert one.publish("v1/devices/me/telemetry", b'{"t":1}')
        assert one.publish("plant/d1/up", b"1")
        assert not one.publish("plant/d2/up", b"2")
        listener = Client(rabbit.mqtt_port, "d1-client", tokens[0])
        assert not listener.subscribe("v1/devices/me/telemetry")
        assert other.heard.empty()

        # Blocked: cut off, and it stays out.
        manage(web.environment, "block_device", "d2")
        end_sessions = "from brokers.tasks import end_sessions; end_sessions()"

        def is_gone() -> bool:
            # As the scheduler does each second. RabbitMQ shows a connection seconds after it was made.
            manage(web.environment, "shell", "-v", "0", "-c", end_sessions)
            return bool(other.gone)

        wait_for(is_gone, "the kick", WAIT_S)
        assert not Client(rabbit.mqtt_port, "d2-client", tokens[1]).connected
        kick = "from brokers.models import *; print(BrokerKick.objects.get(done_at__isnull=False).client_id)"
        assert manage(web.environment, "shell", "-v", "0", "-c", kick).split()[-1] == "d2-client"
    finally:
        bridge.kill()
    rehearsal = (
        "from brokers.models import Broker; from console.brokers.rehearsal import rehearse; "
        "print(*rehearse(Broker.objects.get()), sep=chr(10))"
    )
    findings = manage(web.environment, "shell", "-v", "0", "-c", rehearsal)
    assert findings.count("passed=True") == 4, findings
    assert not any(secret in bridge.output() for secret in (broker["secret"], profile["secret"], *tokens))
