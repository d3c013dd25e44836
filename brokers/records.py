"""What is kept of a broker's calls: the time of the last one, and the last denials with their reasons."""

import threading
import time
import uuid

from django.utils import timezone

from brokers.calls import Denial
from brokers.models import Broker, BrokerDenial
from core.text import sanitized

# The database learns at most this often that a broker asks.
ASKED_INTERVAL_S = 5.0
# A flood of denials must not become a flood of rows: so many in a second and process, and so many rows for a broker.
DENIALS_PER_SECOND = 5
DENIALS_KEPT = 200


class _Throttle:
    """Lets something pass `times` in `interval_s`, for each key. Safe to call from any thread."""

    def __init__(self, interval_s: float, times: int = 1) -> None:
        self._interval_s, self._times = interval_s, times
        self._lock = threading.Lock()
        self._passed: dict[uuid.UUID, list[float]] = {}

    def passes(self, key: uuid.UUID) -> bool:
        with self._lock:
            now = time.monotonic()
            recent = [at for at in self._passed.get(key, ()) if now - at < self._interval_s]
            self._passed[key] = recent
            if len(recent) >= self._times:
                return False
            recent.append(now)
            return True

    def clear(self) -> None:
        with self._lock:
            self._passed.clear()


requests = _Throttle(ASKED_INTERVAL_S)
denials = _Throttle(1.0, DENIALS_PER_SECOND)


def note_asked(broker: Broker) -> None:
    """Note that `broker` asks. Raises django.db.Error."""
    if requests.passes(broker.pk):
        Broker.objects.filter(pk=broker.pk).update(last_asked_at=timezone.now())


def note_denial(broker: Broker, call: str, denial: Denial) -> None:
    """Keep `denial` among the last ones of `broker`. Raises django.db.Error."""
    if not denials.passes(broker.pk):
        return
    row = BrokerDenial.objects.create(
        broker=broker,
        call=sanitized(call, 32),
        client_id=sanitized(denial.client_id),
        address=sanitized(denial.address, 64),
        topic=sanitized(denial.topic),
        reason=sanitized(denial.reason),
    )
    if row.pk % 20 == 0:
        kept = BrokerDenial.objects.filter(broker=broker).order_by("-pk").values_list("pk", flat=True)
        oldest = list(kept[DENIALS_KEPT - 1 : DENIALS_KEPT])
        if oldest:
            BrokerDenial.objects.filter(broker=broker, pk__lt=oldest[0]).delete()
