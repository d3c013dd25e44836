"""Reading the event log on SQLite. It has one writer at a time, so ids become visible in order, and a position is an id.

With the id goes the moment of that event: where another event has the id now, the database has been restored.
"""

import re
from datetime import datetime

from django.db.models import Q

from events.choices import Kind
from events.models import Event, PruneMark
from events.page import LoggedEvent, Page

_POSITION = re.compile(r"(\d{1,18})-(\d{1,18})")
_COLUMNS = ("id", "created_at", "kind", "device_id", "profile_id", "data")


def page_after(text: str, kinds: list[str], limit: int) -> Page:
    """Return what events/selectors.py promises."""
    newest = Event.objects.order_by("-pk").values_list("pk", "created_at").first()
    match = _POSITION.fullmatch(text)
    if match is None or not _is_known(int(match[1]), text, newest):
        return Page([], _position(newest), missed=True)
    if newest is None or newest[0] == int(match[1]):
        return Page([], text)
    # Not beyond the newest, which is where the next page begins.
    unread = Event.objects.filter(Q(kind__in=kinds) | Q(pk=newest[0]), pk__gt=int(match[1]), pk__lte=newest[0])
    rows = list(unread.order_by("pk").values_list(*_COLUMNS)[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    events = [LoggedEvent(row[0], row[1], Kind(row[2]), *row[3:]) for row in rows if row[2] in kinds]
    return Page(events, _position(rows[-1][:2]), more=more)


def needed_from(text: str) -> int | None:
    """Return the id from which on a reader at this position needs events; None if it can use none."""
    match = _POSITION.fullmatch(text)
    return int(match[1]) if match else None


def oldest_events(limit: int) -> list[tuple[int, datetime, int]]:
    """Return id, time and once more id of the oldest events, in order. The newest is never among them."""
    rows = list(Event.objects.order_by("pk").values_list("pk", "created_at")[: limit + 1])
    return [(pk, created_at, pk) for pk, created_at in rows[:-1]]


def _position(event: tuple[int, datetime] | None) -> str:
    return f"{event[0]}-{event[1].timestamp() * 1_000_000:.0f}" if event else "0-0"


def _is_known(last_id: int, text: str, newest: tuple[int, datetime] | None) -> bool:
    """Return whether the event that this position names is here. The newest is never pruned."""
    if newest is None or newest[0] == last_id:
        return text == _position(newest)
    if last_id == 0:
        # Nothing had been written then.
        return not PruneMark.objects.exists()
    there = Event.objects.filter(pk=last_id).values_list("pk", "created_at").first()
    return there is not None and text == _position(there)
