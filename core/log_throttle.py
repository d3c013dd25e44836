"""Limits log messages to one per minute, so that strangers cannot fill the log: over UDP anybody can send anything."""

import logging
import time

INTERVAL_S = 60.0


class OncePerMinute(logging.Filter):
    """Passes each message template once a minute, with the number of messages that were suppressed in between."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        # The template, not the text: their number is limited by the number of log calls in the code.
        template = str(record.msg)
        if now - self._passed_at.get(template, -INTERVAL_S) < INTERVAL_S:
            self._suppressed[template] = self._suppressed.get(template, 0) + 1
            return False
        self._passed_at[template] = now
        suppressed = self._suppressed.pop(template, 0)
        if suppressed:
            record.msg, record.args = f"{record.getMessage()} (and {suppressed} more like it)", ()
        return True
