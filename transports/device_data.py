"""Telemetry and attributes from bytes to the database and back, the same for all transports."""

from django.conf import settings

from devices.models import Device
from devices.selectors import AttributeRequest, readable_attributes
from devices.services import client_attributes_save, telemetry_save
from transports.codecs.device_data import (
    BadDeviceData,
    attribute_request,
    decode_attribute_request,
    decode_attributes,
    decode_rpc_method,
    decode_telemetry,
    encode,
)


def take_telemetry(device: Device, body: bytes) -> None:
    """Keep the telemetry in `body`. Raises BadDeviceData and QuotaExceeded."""
    telemetry_save(device=device, readings=decode_telemetry(body))


def take_attributes(device: Device, body: bytes) -> None:
    """Set the client attributes in `body`. Raises BadDeviceData and QuotaExceeded."""
    client_attributes_save(device=device, values=decode_attributes(body))


def answer_attribute_request(device: Device, body: bytes) -> bytes:
    """Return the attributes that the message `body` asks for. Raises BadDeviceData."""
    return _attributes(device, decode_attribute_request(body))


def answer_attribute_query(device: Device, *, client_keys: str, shared_keys: str) -> bytes:
    """Return the attributes that a query asks for, names with commas between them. Raises BadDeviceData."""
    return _attributes(device, attribute_request(client_keys, shared_keys))


def answer_rpc(device: Device, body: bytes, *, max_inflight: int) -> bytes:
    """Return the answer to a client-side RPC. getSessionLimits is the only method served. Raises BadDeviceData."""
    if decode_rpc_method(body) != "getSessionLimits":
        raise BadDeviceData("This method is not supported.")
    limits = {"maxPayloadSize": settings.MAX_REQUEST_BYTES, "maxInflightMessages": max_inflight, "rateLimits": {}}
    return encode(limits | ({"gatewayRateLimits": {}} if device.gateway else {}))


def _attributes(device: Device, request: AttributeRequest) -> bytes:
    return encode(readable_attributes(device, request))
