"""The operator's own MQTT brokers: who may connect to them, on which topics, and whose sessions end."""
