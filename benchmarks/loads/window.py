"""A load that keeps a fixed number of requests outstanding, whatever the transport."""

import time
from typing import Any, Protocol

from benchmarks.loads.outcome import Outcome, percentile

DRAIN_S = 15.0


class Client(Protocol):
    """One client of a load. `waiting` holds what has had no reply yet."""

    sent: int
    answered: int
    refused: int
    duplicated: int
    waiting: dict[Any, Any]
    latencies: list[float]

    def send(self, count: int) -> None: ...
    def receive(self) -> None: ...
    def close(self) -> None: ...


def keep_outstanding(client: Client, *, window: int, seconds: float, limit: int | None) -> Outcome:
    """Return what came back in `seconds` with `window` requests outstanding; at most `limit` requests.

    What is outstanding then is waited for, so that every request has had its reply or is counted as unanswered.
    """
    started = time.perf_counter()
    while time.perf_counter() - started < seconds and (limit is None or client.sent < limit or client.waiting):
        room = window - len(client.waiting)
        client.send(room if limit is None else min(room, limit - client.sent))
        client.receive()
    finished = time.perf_counter()
    answered = client.answered
    while client.waiting and time.perf_counter() - finished < DRAIN_S:
        client.receive()
    client.close()
    latencies = sorted(client.latencies)
    return Outcome(
        seconds=finished - started,
        answered=answered,
        refused=client.refused,
        duplicated=client.duplicated,
        unanswered=len(client.waiting),
        p50_ms=percentile(latencies, 0.5) * 1000,
        p99_ms=percentile(latencies, 0.99) * 1000,
    )
