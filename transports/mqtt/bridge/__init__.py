"""The MQTT bridge: a client of the operator's broker, or of the embedded one."""
