"""Plugins that wait for something to change: one thread of the process asks for all of them."""

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus

from django.db import Error, connection

from brokers.models import Broker
from brokers.replica.selectors import Changes, UnknownCursor, changes

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.5
# A plugin asks one question at a time. Beyond this many, questions are answered at once, and come again after half a second.
MAX_WAITING = 200

# What has changed, or the status of an error.
Result = Changes | HTTPStatus


@dataclass(slots=True, eq=False)
class _Wait:
    """A plugin that waits, until `deadline` at the latest. `found` is what it will get then."""

    broker: Broker
    found: Changes
    deadline: float
    future: "Future[Result]" = field(default_factory=Future)


class Waits:
    """The plugins that wait in this process. Their thread lives as long as there are any. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Wait] = []

    def wait(self, broker: Broker, found: Changes, wait_s: float) -> "Future[Result]":
        """Return what changes after `found`, within `wait_s` seconds, or `found` itself."""
        one = _Wait(broker, found, time.monotonic() + wait_s)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                one.future.set_result(found)
                return one.future
            self._waiting.append(one)
            if len(self._waiting) == 1:
                threading.Thread(target=self._run, name="replica-waits", daemon=True).start()
        return one.future

    def _run(self) -> None:
        waiting = self._begin([])
        while waiting:
            # Polling, as in events/readers.py. The thread ends by itself once nobody waits, so nothing has to wake it.
            time.sleep(POLL_INTERVAL_S)
            waiting = self._begin([one for one in waiting if _look(one)])
        connection.close()

    def _begin(self, answered: list[_Wait]) -> list[_Wait]:
        """Forget who has been answered; return who is waiting now."""
        with self._lock:
            self._waiting = [one for one in self._waiting if one not in answered]
            return list(self._waiting)


# Those of this process.
waits = Waits()


def _look(one: _Wait) -> bool:
    """Answer a plugin if there is something to answer. Return whether it has its answer."""
    result: Result | None = None
    try:
        one.found = changes(one.broker, one.found.cursor)
        if one.found.found or time.monotonic() >= one.deadline:
            result = one.found
    except UnknownCursor:
        result = HTTPStatus.CONFLICT
    except Error as err:
        log.warning("A broker's question is not answered, database unavailable: %s", type(err).__name__)
        connection.close()
        result = HTTPStatus.SERVICE_UNAVAILABLE
    except Exception:
        # The outermost handler: an error with one plugin must not end the thread that all of them wait for.
        log.exception("A broker's question could not be answered")
        result = HTTPStatus.INTERNAL_SERVER_ERROR
    # Not if the server has given up waiting, as it does when it stops.
    if result and one.future.set_running_or_notify_cancel():
        one.future.set_result(result)
    return result is not None
