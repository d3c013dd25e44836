"""A message that strangers can provoke is logged once a minute."""

import logging

from core import log_throttle
from core.log_throttle import OncePerMinute


def test_message_passes_once_a_minute_and_then_says_how_many_did_not(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(log_throttle.time, "monotonic", lambda: now[0])
    throttle = OncePerMinute()

    def passed(argument: str) -> str | None:
        record = logging.LogRecord("coap-server", logging.WARNING, __file__, 1, "Ignoring %s", (argument,), None)
        return record.getMessage() if throttle.filter(record) else None

    assert passed("a") == "Ignoring a"
    assert [passed("b"), passed("c")] == [None, None]
    now[0] += 60
    assert passed("d") == "Ignoring d (and 2 more like it)"
    now[0] += 60
    assert passed("e") == "Ignoring e"
