"""Changed shared attributes, from the event log to the devices on the operator's broker."""

import logging
import secrets
import threading
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from django.db import Error, connection
from django.utils import timezone

from devices.models import Device
from events.choices import Kind
from events.models import ReaderPosition
from events.readers import POLL_INTERVAL_S, RETRY_INTERVAL_S
from events.selectors import page_after
from operations.leases import release_lease, take_lease
from transports.codecs.device_data import encode
from transports.device_news import changed_attributes
from transports.mqtt.bridge.device_topics import DeviceTopics
from transports.mqtt.bridge.messages import Answer
from transports.mqtt.device_api.gateway_topics import child_update
from transports.mqtt.device_api.topics import ATTRIBUTES

log = logging.getLogger(__name__)

READER = "mqtt-attribute-updates"


class Publisher(Protocol):
    """The bridge, as far as updates are concerned. Both may be called from any thread."""

    def is_ready(self) -> bool: ...
    def send(self, answer: Answer, on_done: Callable[[], None]) -> None: ...


class AttributeUpdates:
    """Publishes updates from a thread of its own until stopped; of several bridges, one does.

    The position in the log is stored once the broker has acknowledged the updates, so a bridge that takes over, or comes
    back, goes on from there. A device may get the same update twice.
    """

    def __init__(self, topics: DeviceTopics, publisher: Publisher) -> None:
        self._topics, self._publisher = topics, publisher
        self._holder = secrets.token_hex(8)
        self._failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attribute-updates", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return once another bridge may go on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._turn())
        try:
            release_lease(READER, self._holder)
        except Error as err:
            log.debug("The lease expires by itself: %s", type(err).__name__)
        connection.close()

    def _turn(self) -> float:
        """Publish the updates of one page, if it is this bridge's turn. Return how many seconds to wait before the next."""
        try:
            more = self._leads() and self._publish_page()
        except Error as err:
            connection.close()
            if not self._failing:
                log.warning("Cannot read the event log: %s", type(err).__name__)
            self._failing = True
            return RETRY_INTERVAL_S
        except Exception:
            # The outermost handler of the thread, which must go on with the next page.
            log.exception("Attribute updates could not be published; trying again")
            return RETRY_INTERVAL_S
        self._failing = False
        return 0.0 if more else POLL_INTERVAL_S

    def _leads(self) -> bool:
        return self._publisher.is_ready() and take_lease(READER, self._holder)

    def _publish_page(self) -> bool:
        """Publish what follows from one page of events. Return whether there is more to read at once."""
        position = ReaderPosition.objects.get_or_create(name=READER)[0].position
        # A first page has no events: devices ask for their attributes when they connect.
        page = page_after(position, kinds={Kind.SHARED_ATTRIBUTES_CHANGED})
        if page.missed and position:
            log.warning("Changes of shared attributes may have been missed; devices get them when they ask for them.")
        if not self._delivered(self._updates(changed_attributes(page.events))):
            return False
        if page.position != position:
            rows = ReaderPosition.objects.filter(name=READER, position=position)
            rows.update(position=page.position, moved_at=timezone.now())
        return page.more

    def _updates(self, changed: dict[uuid.UUID, dict[str, Any]]) -> list[Answer]:
        """Return what to publish: to each device, and to the gateway that reports for it."""
        updates = []
        devices = Device.objects.select_related("parent_gateway").filter(pk__in=changed, blocked=False)
        for device in devices:
            body = encode(changed[device.pk])
            # The broker delivers it on the topic that the device has subscribed to.
            updates += [Answer(self._topics.address(device, topic), body, own=True) for topic in ATTRIBUTES]
            if gateway := device.parent_gateway:
                update = child_update(device.name, changed[device.pk])
                updates.append(Answer(self._topics.address(gateway, update.topic), update.body, own=True))
        return updates

    def _delivered(self, updates: list[Answer]) -> bool:
        """Return whether the broker has acknowledged all `updates`. Waits until it has, or the bridge stops."""
        done = threading.Semaphore(0)
        for update in updates:
            self._publisher.send(update, done.release)
        for _ in updates:
            while not done.acquire(timeout=1.0):
                if self._stopping.is_set():
                    return False
                # Renews the lease as long as the broker is connected; else another bridge takes over.
                self._leads()
        return True
