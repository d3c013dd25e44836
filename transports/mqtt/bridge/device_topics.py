"""Where the messages of devices come out on the operator's broker, and where what is for a device goes in.

The Mosquitto plugin maps `v1/devices/me/telemetry` to `devices/NAME/telemetry` (docs/brokers/mosquitto.md, *Topics*).
A broker with mount points, such as EMQX, puts `devices/ID/` before every topic of a device, in both directions.
"""

import re
import uuid
from dataclasses import dataclass, field
from urllib.parse import unquote

from devices.models import Device
from transports.mqtt.device_api import topics as api

_TEMPLATE = re.compile(r"((?:[^/+#{}]+/)*)\{(name|id)\}((?:/[^/+#{}]+)*)")
_ENCODED = re.compile(r"[\x00-\x1f\x7f%+#/]")
# A name that begins with $ could be taken for one of the broker's own topics.
_ENCODED_DOLLARS = re.compile(r"[\x00-\x1f\x7f%+#/$]")
_NUMBERED = (api.ATTRIBUTE_REQUEST, api.RPC_REQUEST)
_PUBLISHED = (
    *api.TELEMETRY,
    *api.ATTRIBUTES,
    *(f"{prefix}+" for prefix in _NUMBERED),
    api.GATEWAY_CONNECT,
    api.GATEWAY_DISCONNECT,
    api.GATEWAY_TELEMETRY,
    api.GATEWAY_ATTRIBUTES,
    api.GATEWAY_ATTRIBUTE_REQUEST,
)
_ME, _GATEWAY = "v1/devices/me/", "v1/"


@dataclass(frozen=True, slots=True)
class Sender:
    """The device that published a message, by name or else by id, and the topic as the device knows it."""

    name: str
    id: uuid.UUID | None
    topic: str


@dataclass(frozen=True, slots=True)
class DeviceTopics:
    """The topics of all devices, below templates with {name} or {id}. Raises ValueError if a template is not usable."""

    from_device: str
    to_device: str
    _placeholder: str = field(init=False, repr=False, compare=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = [_TEMPLATE.fullmatch(template) for template in (self.from_device, self.to_device)]
        if found[0] is None or found[1] is None:
            raise ValueError(
                "MQTT_TOPIC_FROM_DEVICE and MQTT_TOPIC_TO_DEVICE need {name} or {id} as one level, and no wildcards."
            )
        before, placeholder, after = found[0].groups()
        pattern = re.compile(f"{re.escape(before)}([^/]+){re.escape(after)}/(.+)", re.DOTALL)
        object.__setattr__(self, "_placeholder", placeholder)
        object.__setattr__(self, "_pattern", pattern)

    @property
    def is_mount(self) -> bool:
        """Whether the broker puts the same prefix before all topics of a device, and changes nothing else in them."""
        return self.from_device == self.to_device

    @property
    def filters(self) -> tuple[str, ...]:
        """The topic filters for what devices publish. None matches what is for a device, unless the broker has mount points."""
        base = self.from_device.replace(f"{{{self._placeholder}}}", "+")
        return tuple(f"{base}/{self._outside(topic)}" for topic in _PUBLISHED)

    def sender(self, topic: str) -> Sender | None:
        """Return who published on `topic`; None if it is no topic of a device."""
        match = self._pattern.fullmatch(topic)
        if match is None:
            return None
        device, inside = unquote(match[1]), self._inside(match[2])
        if self._placeholder == "name":
            return Sender(device, None, inside)
        try:
            return Sender("", uuid.UUID(device), inside)
        except ValueError:
            return None

    def address(self, device: Device, topic: str) -> str:
        """Return where to publish what `device` receives on `topic`."""
        encoded = _ENCODED_DOLLARS if device.name.startswith("$") else _ENCODED
        name = encoded.sub(lambda character: f"%{ord(character[0]):02X}", device.name)
        base = self.to_device.replace("{name}", name).replace("{id}", str(device.pk))
        return f"{base}/{self._outside(topic)}"

    def _outside(self, topic: str) -> str:
        """Return what follows the prefix of a device, for a topic as the device knows it."""
        if self.is_mount:
            return topic
        return topic.removeprefix(_ME) if topic.startswith(_ME) else topic.removeprefix(_GATEWAY)

    def _inside(self, rest: str) -> str:
        if self.is_mount:
            return rest
        if rest.startswith("gateway/"):
            return _GATEWAY + rest
        return rest if rest.startswith("v2/") else _ME + rest
