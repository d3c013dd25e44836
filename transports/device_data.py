"""Telemetry and attributes from bytes to the database, the same for all transports."""

from devices.models import Device
from devices.services import client_attributes_save, telemetry_save
from transports.codecs.device_data import decode_attributes, decode_telemetry


def take_telemetry(device: Device, body: bytes) -> None:
    """Keep the telemetry in `body`. Raises BadDeviceData."""
    telemetry_save(device=device, readings=decode_telemetry(body))


def take_attributes(device: Device, body: bytes) -> None:
    """Set the client attributes in `body`. Raises BadDeviceData."""
    client_attributes_save(device=device, values=decode_attributes(body))
