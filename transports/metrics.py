"""What the transports measure."""

from prometheus_client import Counter, Histogram

REPLY_SECONDS = Histogram(
    "firstlight_reply_seconds",
    "From the receipt of a provision request to its reply.",
    ["transport", "reply"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REFUSED_MESSAGES = Counter(
    "firstlight_mqtt_refused_messages",
    "Messages that the embedded MQTT broker did not keep, at any QoS, by reason code of MQTT 5.",
    ["reason"],
)
