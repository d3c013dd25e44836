"""Prometheus metrics of imports."""

from prometheus_client import Counter, Gauge

from imports.choices import Verdict
from imports.pipeline import Chunk

ROWS = Counter("firstlight_import_rows", "Rows of imported lists by result, without dry runs.", ["result"])
RUNNING = Gauge("firstlight_imports_running", "Imports that run in this process.", multiprocess_mode="livesum")


def count_rows(chunk: Chunk) -> None:
    """Count the rows of `chunk`, which is committed."""
    for verdict in Verdict:
        ROWS.labels(verdict.value).inc(chunk.count(verdict))
