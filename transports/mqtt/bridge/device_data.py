"""Stores and answers what devices publish on the operator's broker (docs/mqtt.md, *Data of devices*)."""

import logging
import threading
import zlib
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import Error, close_old_connections, connection

from devices.models import Device
from devices.services import device_note_problem
from provisioning.db_errors import DbError, classify
from transports.mqtt import reason_codes
from transports.mqtt.bridge.device_topics import DeviceTopics, Sender
from transports.mqtt.bridge.messages import Answer, Message, Outcome
from transports.mqtt.device_api import device_topics
from transports.mqtt.device_api.messages import MessageRefused
from transports.mqtt.device_api.topics import GATEWAY_PREFIX

log = logging.getLogger(__name__)

THREADS = 4
RETRY_INTERVAL_S = 1.0


class DeviceData:
    """Serves messages in database threads. Those of one device are served in order, by the same thread.

    While the database is unavailable each thread waits with its message, so that nothing is lost or overtaken.
    """

    def __init__(self, topics: DeviceTopics) -> None:
        self._topics = topics
        self._lanes = [ThreadPoolExecutor(1, thread_name_prefix=f"device-data-{number}") for number in range(THREADS)]
        self._stopping = threading.Event()
        self._unavailable = False

    def takes(self, topic: str) -> bool:
        """Return whether `topic` is one on which devices publish data."""
        return self._topics.sender(topic) is not None

    def serve(self, message: Message) -> "Future[Outcome]":
        """Return a future of what became of `message`: it is stored or refused for good, unless it was held."""
        sender = self._topics.sender(message.topic)
        assert sender
        lane = zlib.crc32(f"{sender.name}{sender.id}".encode(errors="replace")) % THREADS
        return self._lanes[lane].submit(self._serve, sender, message.body)

    def stop(self) -> None:
        """Wait no longer for the database: what it has not stored is held."""
        self._stopping.set()

    def close(self) -> None:
        """Return once the threads have ended, each after the messages that it has."""
        self.stop()
        for lane in self._lanes:
            lane.submit(connection.close)
        for lane in self._lanes:
            lane.shutdown()

    def _serve(self, sender: Sender, body: bytes) -> Outcome:
        while not (self._stopping.is_set() and self._unavailable):
            try:
                outcome = self._served(sender, body)
            except Error as err:
                connection.close()
                if classify(err) is DbError.UNEXPECTED:
                    # It would fail every time, and hold up the device's other messages.
                    log.exception("A message of a device could not be stored")
                    return Outcome()
                self._note_unavailable(err)
                self._stopping.wait(RETRY_INTERVAL_S)
            except Exception:
                # The outermost handler: one bad message must not end the worker of all devices.
                log.exception("A message of a device could not be stored")
                return Outcome()
            else:
                self._unavailable = False
                return outcome
        return Outcome(held=True)

    def _served(self, sender: Sender, body: bytes) -> Outcome:
        close_old_connections()
        wanted = {"pk": sender.id} if sender.id else {"name": sender.name}
        device = Device.objects.select_related("profile").filter(**wanted, blocked=False).first()
        if device is None:
            # Deleted, renamed or blocked since the broker admitted it.
            return Outcome()
        try:
            if sender.topic.startswith(GATEWAY_PREFIX) and not device.gateway:
                raise MessageRefused(reason_codes.NOT_AUTHORIZED, "it is no gateway")
            served = device_topics.serve(device, sender.topic, body)
        except MessageRefused as err:
            device_note_problem(device=device, text=f"Message on {sender.topic} refused: {err}")
            return Outcome()
        answers = [Answer(self._topics.address(device, one.topic), one.body, own=True) for one in served.answers]
        return Outcome(answers[0] if answers else None)

    def _note_unavailable(self, err: Error) -> None:
        if not self._unavailable:
            log.warning("Data of devices has to wait, the database is unavailable: %s", type(err).__name__)
        self._unavailable = True
