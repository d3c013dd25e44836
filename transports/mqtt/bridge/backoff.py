"""How long to wait before the next try."""

import random
import time


class Backoff:
    """Doubles its waits from `first_s` to `longest_s`, with some chance in them so that not all come back at once."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.reset()

    def reset(self) -> None:
        """Be due at once, and begin with the shortest wait again."""
        self._next_s = self._first_s
        self._due_at = 0.0

    def failed(self) -> None:
        self._due_at = time.monotonic() + self._next_s * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        self._next_s = min(self._next_s * 2, self._longest_s)

    def seconds_left(self) -> float:
        """Return how long to wait yet; 0 when a try is due."""
        return max(0.0, self._due_at - time.monotonic())
