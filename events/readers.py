"""Following the event log from a running process."""

import logging
import threading
from collections.abc import Callable, Collection

from django.db import Error, connection

from events.choices import Kind
from events.page import Page
from events.selectors import page_after

log = logging.getLogger(__name__)

# Polling, not NOTIFY: PostgreSQL serialises all commits that notify.
POLL_INTERVAL_S = 0.5
RETRY_INTERVAL_S = 2.0


class Follower:
    """Reads the log in a thread of its own, from now on until stopped, and hands each page to `on_page`.

    `on_page` runs in that thread and must apply events idempotently: if it raises, it gets the page once more. The
    first page is one with `missed`. While the database is unavailable the follower waits, and misses nothing.
    """

    def __init__(self, on_page: Callable[[Page], None], *, kinds: Collection[Kind], interval_s: float = POLL_INTERVAL_S) -> None:
        self._on_page = on_page
        self._kinds = kinds
        self._interval_s = interval_s
        self._position = ""
        self._failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return once the page at hand has been applied."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._follow())
        connection.close()

    def _follow(self) -> float:
        """Read and apply one page. Return how many seconds to wait before the next."""
        try:
            page = page_after(self._position, kinds=self._kinds)
            if page.events or page.missed:
                self._on_page(page)
        except Error as err:
            connection.close()
            if not self._failing:
                log.warning("Cannot read the event log: %s", type(err).__name__)
            self._failing = True
            return RETRY_INTERVAL_S
        except Exception:
            log.exception("Events could not be applied; trying again")
            return RETRY_INTERVAL_S
        self._failing = False
        self._position = page.position
        return 0.0 if page.more else self._interval_s
