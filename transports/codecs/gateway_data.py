"""What gateways send about their children, as JSON.

Source of the forms: docs/protocol.md, *With the credentials afterwards*.
"""

from dataclasses import dataclass
from typing import Any

from core.text import MAX_TEXT_LENGTH, has_control_characters
from devices.services import Reading
from transports.codecs.device_data import MAX_KEYS, BadDeviceData, attributes_in, encode, parse, readings_in

# Each may be a new device.
MAX_CHILDREN = 200


@dataclass(frozen=True, slots=True)
class ChildConnected:
    """A child is there, and of which profile it would like to be."""

    name: str
    profile_name: str


@dataclass(frozen=True, slots=True)
class ChildAttributeRequest:
    """A question for attributes of a child: of scope client or shared, those named `keys`, or all if there are none."""

    id: int
    name: str
    client: bool
    keys: tuple[str, ...]
    single: bool


def decode_child(body: bytes) -> ChildConnected:
    """Return the child in `{"device": name, "type": profile}`. Raises BadDeviceData."""
    document = parse(body)
    profile_name = document.get("type") if isinstance(document, dict) else None
    if not isinstance(profile_name, str) or has_control_characters(profile_name):
        profile_name = ""
    return ChildConnected(_name(document), profile_name)


def decode_gateway_telemetry(body: bytes) -> dict[str, list[Reading]]:
    """Return the readings of each child in `{name: telemetry}`. Raises BadDeviceData."""
    found = {name: readings_in(document) for name, document in _by_child(body).items()}
    _check_size(found)
    return found


def decode_gateway_attributes(body: bytes) -> dict[str, dict[str, Any]]:
    """Return the client attributes of each child in `{name: {key: value}}`. Raises BadDeviceData."""
    found = {name: attributes_in(document) for name, document in _by_child(body).items()}
    _check_size(found)
    return found


def decode_child_attribute_request(body: bytes) -> ChildAttributeRequest:
    """Return `{"id": n, "device": name, "client": flag, "key": key}`, or with `"keys": [key, …]`. Raises BadDeviceData."""
    document = parse(body)
    name = _name(document)
    number, one, several = document.get("id"), document.get("key"), document.get("keys")
    if isinstance(number, bool) or not isinstance(number, int):
        raise BadDeviceData("id must be a whole number.")
    keys = [one] if one is not None else (several or [])
    if not isinstance(keys, list) or not all(isinstance(key, str) and not has_control_characters(key) for key in keys):
        raise BadDeviceData("key must be a text, keys a list of texts.")
    if len(keys) > MAX_KEYS:
        raise BadDeviceData(f"More than {MAX_KEYS} names in one request.")
    return ChildAttributeRequest(number, name, bool(document.get("client")), tuple(keys), single=one is not None)


def encode_child_attributes(request: ChildAttributeRequest, values: dict[str, Any]) -> bytes:
    """Return the answer to `request`: `value` if one key was requested, else `values`."""
    answer: dict[str, Any] = {"id": request.id, "device": request.name}
    if not request.single:
        answer["values"] = values
    elif values:
        answer["value"] = values[request.keys[0]]
    return encode(answer)


def _by_child(body: bytes) -> dict[str, Any]:
    document = parse(body)
    if not isinstance(document, dict):
        raise BadDeviceData("An object of device names is needed.")
    if len(document) > MAX_CHILDREN:
        raise BadDeviceData(f"More than {MAX_CHILDREN} devices in one message.")
    return {_checked(name): data for name, data in document.items()}


def _name(document: Any) -> str:
    if not isinstance(document, dict):
        raise BadDeviceData("An object with the name of a device is needed.")
    return _checked(document.get("device"))


def _checked(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_TEXT_LENGTH or has_control_characters(name):
        raise BadDeviceData(f"The name of a device needs 1 to {MAX_TEXT_LENGTH} characters, without control characters.")
    return name.strip()


def _check_size(found: dict[str, Any]) -> None:
    if sum(len(values) for values in found.values()) > MAX_KEYS:
        raise BadDeviceData(f"More than {MAX_KEYS} values in one message.")
