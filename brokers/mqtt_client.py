"""A device that is played against a broker: a connection, and what the broker did with it."""

import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from django.conf import settings
from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from brokers.models import Broker

TIMEOUT_S = 5.0
# RabbitMQ refuses a user name without a password; for a token every password is as good.
ANY_PASSWORD = "any"  # noqa: S105 - says so
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_FAILED = 128


class PlayedDevice:
    """An MQTT 3.1.1 client at the address where devices reach `broker`. Connects at once. Raises OSError."""

    def __init__(self, broker: Broker, *, client_id: str, username: str) -> None:
        self.accepted: bool | None = None
        self.gone = False
        self.heard: list[bytes] = []
        self._granted: list[int] = []
        self._changed = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv311, reconnect_on_failure=False)
        self._client.username_pw_set(username, ANY_PASSWORD)
        self._client.connect_timeout = TIMEOUT_S
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        url = urlsplit(broker.mqtt_url)
        if url.scheme == "mqtts":
            self._client.tls_set_context(ssl.create_default_context(cafile=settings.MQTT_CA_FILE or None))
        self._client.connect(url.hostname or "", url.port or _PORTS[url.scheme])
        self._client.loop_start()
        self.wait(lambda: self.accepted is not None or self.gone)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic: str) -> bool:
        """Return whether the broker granted it."""
        before = len(self._granted)
        self._client.subscribe(topic, qos=1)
        self.wait(lambda: len(self._granted) > before or self.gone)
        return len(self._granted) > before and self._granted[-1] < _FAILED

    def publish(self, topic: str, body: bytes) -> bool:
        """Return whether the broker acknowledged it."""
        info = self._client.publish(topic, body, qos=1)
        # paho does not notify the condition of an acknowledgement, so poll.
        self.wait(lambda: info.is_published() or self.gone, step_s=0.05)
        return info.is_published()

    def wait(self, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S, step_s: float = 0.5) -> bool:
        """Return whether `condition` became true within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, step_s))
        return True

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._change(lambda: setattr(self, "accepted", not reason.is_failure))

    def _on_disconnect(self, *_: Any) -> None:
        self._change(lambda: setattr(self, "gone", True))

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        self._change(lambda: self._granted.extend(reason.value for reason in reasons))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._change(lambda: self.heard.append(bytes(message.payload)))

    def _change(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()
