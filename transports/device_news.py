"""Changes to connected devices: one reader of the event log serves all listeners of an event loop."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from devices.selectors import shared_attributes, usable_devices
from events.choices import ACCESS_CHANGES, Kind
from events.page import LoggedEvent, Page
from events.readers import Follower

# Devices that one statement asks for.
CHUNK = 500
MAX_WAITS = 10_000


class TooManyWaits(Exception):
    """As many devices are waiting as may wait; the caller has to come again."""


@dataclass(frozen=True, slots=True)
class DeviceNews:
    """What happened to one device.

    `gone`: it is deleted or blocked now. `access_changed`: the credentials of an open connection must be checked
    again. `reset_at`: provisioning was reset then, and connections from before end. `attributes`: shared attributes as
    devices hear of them, `{"key": value, "deleted": ["key"]}`; empty if none changed.
    """

    gone: bool = False
    access_changed: bool = False
    reset_at: datetime | None = None
    attributes: dict[str, Any] = field(default_factory=dict, repr=False)


Listener = Callable[[DeviceNews], None]


@dataclass(slots=True)
class _Changes:
    """What the events of one page say of one device. `keys` None: any shared attribute may have changed."""

    access_changed: bool = False
    reset_at: datetime | None = None
    keys: set[str] | None = field(default_factory=set)

    def add(self, event: LoggedEvent) -> None:
        if event.kind in ACCESS_CHANGES:
            self.access_changed = True
        if event.kind == Kind.DEVICE_RESET:
            self.reset_at = event.created_at
        if event.kind == Kind.SHARED_ATTRIBUTES_CHANGED and self.keys is not None:
            named = event.data.get("keys")
            self.keys = self.keys | set(named) if named else None


class NewsFeed:
    """Notifies listeners on one event loop of changes to their devices, within a second of the commit.

    All but the reading of the log runs in the loop. A listener may get the same change twice.
    """

    def __init__(self, max_waits: int = MAX_WAITS) -> None:
        self._listeners: dict[uuid.UUID, list[Listener]] = {}
        self._waits: dict[uuid.UUID, asyncio.Future[DeviceNews | None]] = {}
        self._max_waits = max_waits
        kinds = {*ACCESS_CHANGES, Kind.SHARED_ATTRIBUTES_CHANGED}
        self._follower = Follower(self._apply, kinds=kinds)

    def start(self) -> None:
        """Begin, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._follower.start()

    async def stop(self) -> None:
        """End every wait, and return once the log is no longer read."""
        for wait in list(self._waits.values()):
            _settle(wait, None)
        await asyncio.to_thread(self._follower.stop)

    def listen(self, device_id: uuid.UUID, listener: Listener) -> Callable[[], None]:
        """Have `listener` called with the news of a device, in the loop. Returns what ends that."""
        self._listeners.setdefault(device_id, []).append(listener)
        return partial(self._forget, device_id, listener)

    async def wait(self, device_id: uuid.UUID, timeout_s: float) -> DeviceNews | None:
        """Return the next news of a device; None after `timeout_s`, or when a later wait of the same device takes over.

        Raises TooManyWaits.
        """
        earlier = self._waits.pop(device_id, None)
        if earlier:
            _settle(earlier, None)
        elif len(self._waits) >= self._max_waits:
            raise TooManyWaits
        wait: asyncio.Future[DeviceNews | None] = asyncio.get_running_loop().create_future()
        self._waits[device_id] = wait
        end = self.listen(device_id, partial(_settle, wait))
        try:
            async with asyncio.timeout(timeout_s):
                return await wait
        except TimeoutError:
            return None
        finally:
            end()
            if self._waits.get(device_id) is wait:
                del self._waits[device_id]

    def _forget(self, device_id: uuid.UUID, listener: Listener) -> None:
        listeners = self._listeners.get(device_id, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._listeners.pop(device_id, None)

    def _apply(self, page: Page) -> None:
        """Look up the changes to the devices in `page` that have listeners. Runs in the follower's thread."""
        changes: dict[uuid.UUID, _Changes] = defaultdict(_Changes)
        if page.missed:
            changes |= {device_id: _Changes(access_changed=True, keys=None) for device_id in list(self._listeners)}
        for event in page.events:
            if event.device_id in self._listeners:
                changes[event.device_id].add(event)
        for chunk in _chunks(changes):
            self._loop.call_soon_threadsafe(self._notify, _news({device_id: changes[device_id] for device_id in chunk}))

    def _notify(self, news: dict[uuid.UUID, DeviceNews]) -> None:
        for device_id, one in news.items():
            for listener in list(self._listeners.get(device_id, ())):
                listener(one)


def changed_attributes(events: Iterable[LoggedEvent]) -> dict[uuid.UUID, dict[str, Any]]:
    """Return the shared attributes that changed in `events`, by device, as devices hear of them."""
    changes: dict[uuid.UUID, _Changes] = defaultdict(_Changes)
    for event in events:
        if event.device_id:
            changes[event.device_id].add(event)
    found: dict[uuid.UUID, dict[str, Any]] = {}
    for chunk in _chunks(changes):
        found |= _attributes({device_id: changes[device_id].keys for device_id in chunk if changes[device_id].keys != set()})
    return {device_id: values for device_id, values in found.items() if values}


def _news(changes: dict[uuid.UUID, _Changes]) -> dict[uuid.UUID, DeviceNews]:
    """Return the news in `changes`, by what is in the database now: three statements at most."""
    access = [device_id for device_id, change in changes.items() if change.access_changed]
    gone = set(access) - usable_devices(access) if access else set()
    values = _attributes({device_id: change.keys for device_id, change in changes.items() if change.keys != set()})
    return {
        device_id: DeviceNews(device_id in gone, change.access_changed, change.reset_at, values.get(device_id, {}))
        for device_id, change in changes.items()
    }


def _attributes(keys: dict[uuid.UUID, set[str] | None]) -> dict[uuid.UUID, dict[str, Any]]:
    """Return the changed attributes as devices hear of them. Of devices where any may have changed, all that there are."""
    if not keys:
        return {}
    named = None if None in keys.values() else {key for names in keys.values() for key in names or ()}
    stored = shared_attributes(keys, named)
    heard = {}
    for device_id, names in keys.items():
        values = stored.get(device_id, {})
        if names is not None:
            deleted = sorted(names - set(values))
            values = {key: value for key, value in values.items() if key in names} | ({"deleted": deleted} if deleted else {})
        heard[device_id] = values
    return heard


def _chunks(ids: Iterable[uuid.UUID]) -> Iterator[Collection[uuid.UUID]]:
    iterator = iter(ids)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _settle(wait: "asyncio.Future[DeviceNews | None]", news: DeviceNews | None) -> None:
    if not wait.done():
        wait.set_result(news)
