"""A log that strangers cannot fill: over UDP anybody may send anything, and each message of ours is said once a minute."""

import logging
import time

INTERVAL_S = 60.0


class OncePerMinute(logging.Filter):
    """Lets each message, whatever its arguments, pass once a minute, then with the number of those that did not pass."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        # The template, not the text: there are as many of these as there are log calls in the code.
        template = str(record.msg)
        if now - self._passed_at.get(template, -INTERVAL_S) < INTERVAL_S:
            self._held_back[template] = self._held_back.get(template, 0) + 1
            return False
        self._passed_at[template] = now
        held_back = self._held_back.pop(template, 0)
        if held_back:
            record.msg, record.args = f"{record.getMessage()} (and {held_back} more like it)", ()
        return True
