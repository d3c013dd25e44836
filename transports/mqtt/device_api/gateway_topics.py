"""What a gateway may publish about its children, and what happens then. Runs in a database thread."""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from devices.gateways import child_of
from devices.models import Device
from devices.selectors import AttributeRequest, readable_attributes
from devices.services import client_attributes_save, telemetry_save
from transports.codecs.device_data import encode
from transports.codecs.gateway_data import (
    decode_child,
    decode_child_attribute_request,
    decode_gateway_attributes,
    decode_gateway_telemetry,
    encode_child_attributes,
)
from transports.mqtt import reason_codes
from transports.mqtt.device_api.messages import Answer, MessageRefused, Served
from transports.mqtt.device_api.topics import (
    GATEWAY_ATTRIBUTE_REQUEST,
    GATEWAY_ATTRIBUTE_RESPONSE,
    GATEWAY_ATTRIBUTES,
    GATEWAY_CONNECT,
    GATEWAY_DISCONNECT,
    GATEWAY_TELEMETRY,
)


def serve(gateway: Device, topic: str, body: bytes) -> Served:
    """Keep what `gateway` published, whole or not at all, and return what follows.

    Raises MessageRefused, BadDeviceData and ChildRefused.
    """
    serves = _SERVES.get(topic)
    if serves is None:
        raise MessageRefused(reason_codes.TOPIC_NAME_INVALID, "nothing is served on this topic")
    with transaction.atomic():
        return serves(gateway, body)


def child_update(name: str, values: dict[str, Any]) -> Answer:
    """Return what a gateway gets when shared attributes of its child `name` change."""
    return Answer(GATEWAY_ATTRIBUTES, encode({"device": name, "data": values}))


def _connect(gateway: Device, body: bytes) -> Served:
    found = decode_child(body)
    child = child_of(gateway, found.name, found.profile_name)
    return Served(children={child.name: child.pk})


def _disconnect(_gateway: Device, body: bytes) -> Served:
    """Keep nothing: when a child was last seen is known from what its gateway sent before."""
    return Served(disconnected=decode_child(body).name)


def _telemetry(gateway: Device, body: bytes) -> Served:
    children = {}
    # In the order of their names, so that two messages do not lock the same children in opposite orders.
    for name, readings in sorted(decode_gateway_telemetry(body).items()):
        child = child_of(gateway, name)
        telemetry_save(device=child, readings=readings)
        children[name] = child.pk
    return Served(children=children)


def _attributes(gateway: Device, body: bytes) -> Served:
    children = {}
    for name, values in sorted(decode_gateway_attributes(body).items()):
        child = child_of(gateway, name)
        client_attributes_save(device=child, values=values)
        children[name] = child.pk
    return Served(children=children)


def _attribute_request(gateway: Device, body: bytes) -> Served:
    request = decode_child_attribute_request(body)
    keys = frozenset(request.keys)
    wanted = AttributeRequest(client_keys=keys) if request.client else AttributeRequest(shared_keys=keys)
    child = child_of(gateway, request.name)
    values = readable_attributes(child, wanted).get("client" if request.client else "shared", {})
    answer = Answer(GATEWAY_ATTRIBUTE_RESPONSE, encode_child_attributes(request, values))
    return Served((answer,), children={child.name: child.pk})


_SERVES: dict[str, Callable[[Device, bytes], Served]] = {
    GATEWAY_CONNECT: _connect,
    GATEWAY_DISCONNECT: _disconnect,
    GATEWAY_TELEMETRY: _telemetry,
    GATEWAY_ATTRIBUTES: _attributes,
    GATEWAY_ATTRIBUTE_REQUEST: _attribute_request,
}
