"""The edges: HTTP, MQTT and CoAP. Each decodes, calls one service, and encodes."""
