"""The circuit breaker between the bridge and the database."""

from collections import deque

from transports.mqtt.bridge.backoff import Backoff
from transports.mqtt.bridge.inflight import InflightRequest


class CircuitBreaker:
    """Holds requests while the database is unavailable.

    Closed, it lets every request through. The first one that cannot be served opens it: from then on requests are held.
    From time to time it is half open: one held request goes through as a trial. If the trial is served, the breaker
    closes and releases the others. One thread owns it.
    """

    def __init__(self) -> None:
        self._held: deque[InflightRequest] = deque()
        self._trial: InflightRequest | None = None
        self._retry = Backoff(0.25, 2.0)

    def __len__(self) -> int:
        """The number of requests that wait for the database, the trial included."""
        return len(self._held) + (self._trial is not None)

    @property
    def is_closed(self) -> bool:
        return not len(self)

    def hold(self, request: InflightRequest) -> None:
        """Keep a request that arrived while the breaker is open."""
        self._held.append(request)

    def failed(self, request: InflightRequest) -> None:
        """Keep `request`, which the database could not serve.

        It goes before those that arrived later; a trial goes after them, so that one request which can never be served,
        since its profile's secret cannot be decrypted, does not keep all others waiting.
        """
        was_trial = request is self._trial
        if was_trial or not self._held:
            self._retry.failed()
        if was_trial:
            self._trial = None
            self._held.append(request)
        else:
            self._held.appendleft(request)

    def served(self, request: InflightRequest) -> list[InflightRequest]:
        """Return the requests that may go on, now that `request` was served: all that were held, if it was the trial."""
        if request is not self._trial:
            return []
        self._trial = None
        self._retry.reset()
        released, self._held = list(self._held), deque()
        return released

    def next_trial(self) -> InflightRequest | None:
        """Return the request that is due as a trial, None if none is."""
        if not self._held or self._trial or self._retry.seconds_left():
            return None
        self._trial = self._held.popleft()
        return self._trial

    def seconds_left(self) -> float:
        """Return the time until a trial is due; a minute if none will be."""
        return self._retry.seconds_left() if self._held and self._trial is None else 60.0
