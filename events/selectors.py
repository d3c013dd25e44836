"""Reading the event log."""

from collections.abc import Collection

from django.db import connection

from events import postgres, sqlite
from events.choices import Kind
from events.page import Page

PAGE_SIZE = 1_000


def page_after(position: str, *, kinds: Collection[Kind] = tuple(Kind), limit: int = PAGE_SIZE) -> Page:
    """Return the events of `kinds` that have become visible since `position`, at most `limit`.

    `position` is the one of the page before, whatever process got it; "" to begin now. No event is missed, and none
    waits for a transaction that is still open. A page may be read again after a crash, so events must be applied
    idempotently. Never in a transaction that has written events.
    """
    read = postgres.page_after if connection.vendor == "postgresql" else sqlite.page_after
    return read(position, [str(kind) for kind in kinds], limit)
