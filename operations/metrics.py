"""Prometheus metrics: where each process exposes them."""

from django.conf import settings
from django.core.management.base import CommandError
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Gauge,
    generate_latest,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector

from operations import multiprocess_metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST

READY = Gauge(
    "firstlight_process_ready",
    "1 while the process works, e.g. while a bridge is connected to its broker.",
    ["process"],
    multiprocess_mode="livemax",
)


class MetricsPortUnusable(CommandError):
    """Listening on METRICS_PORT failed. A command prints only the text: one sentence that names the setting."""


def web_metrics() -> bytes:
    """Return the metrics of all worker processes of this web server, or only of this one if they cannot be shared, as text."""
    shared = multiprocess_metrics.shared
    if shared is None or not shared.complete:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(shared.folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def serve_metrics() -> None:
    """Serve this process's metrics on METRICS_HOST and METRICS_PORT from a thread, if the port is set.

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
