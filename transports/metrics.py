"""What the transports measure of their replies."""

from prometheus_client import Histogram

REPLY_SECONDS = Histogram(
    "firstlight_reply_seconds",
    "From the receipt of a provision request to its reply.",
    ["transport", "reply"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
