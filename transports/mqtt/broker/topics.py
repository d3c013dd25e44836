"""The topics that a device with credentials may use on the embedded broker."""

OWN = "v1/devices/me/"
TELEMETRY = OWN + "telemetry"
ATTRIBUTES = OWN + "attributes"
