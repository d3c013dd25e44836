"""ThingsBoard's device API over MQTT, served by the embedded broker and, on the operator's broker, by the bridge."""
