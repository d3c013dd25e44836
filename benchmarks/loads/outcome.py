"""What a load saw from the outside."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of one load. Latencies are in milliseconds.

    `answered` requests got a reply that says SUCCESS; `refused` got any other; `duplicated` got more than one reply;
    `unanswered` got none.
    """

    seconds: float
    answered: int
    refused: int
    duplicated: int
    p50_ms: float
    p99_ms: float
    unanswered: int = 0

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds


def percentile(sorted_values: list[float], share: float) -> float:
    """Return the value below which `share` of `sorted_values` lie; 0 for none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]
