"""Prometheus metrics: what each process measures of its replies, and where it shows its numbers."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector

from transports.worker_slots import forget_dead_workers

CONTENT_TYPE = CONTENT_TYPE_LATEST

REPLY_SECONDS = Histogram(
    "firstlight_reply_seconds",
    "From the receipt of a provision request to its reply.",
    ["transport", "reply"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
READY = Gauge(
    "firstlight_process_ready",
    "Whether the process does its work: 1 for a bridge that is connected to its broker.",
    ["process"],
    multiprocess_mode="livemax",
)


class MetricsPortUnusable(CommandError):
    """METRICS_PORT cannot be listened on. The text is one sentence that names it, and all that a command prints."""


def web_metrics() -> bytes:
    """Return the numbers of all worker processes of this web server, in Prometheus' text form."""
    folder = Path(settings.METRICS_DIR)
    forget_dead_workers(folder)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def serve_metrics() -> None:
    """Serve this process's numbers on METRICS_HOST and METRICS_PORT from a thread, when the port is set.

    Raises MetricsPortUnusable.
    """
    if not settings.METRICS_PORT:
        return
    try:
        start_http_server(settings.METRICS_PORT, settings.METRICS_HOST, REGISTRY)
    except (OSError, OverflowError) as err:
        raise MetricsPortUnusable(
            f"METRICS_PORT={settings.METRICS_PORT} on {settings.METRICS_HOST} cannot be used ({err}); choose another one."
        ) from err
