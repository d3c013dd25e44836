"""Each process reports in the database that it is alive and ready."""

import logging
import os
import secrets
import socket
import threading
from datetime import timedelta

from django.conf import settings
from django.db import Error, connection
from django.db.models import QuerySet
from django.utils import timezone

from operations.choices import Process
from operations.leases import release_lease, take_lease
from operations.metrics import READY, serve_metrics
from operations.models import Heartbeat

log = logging.getLogger(__name__)

BEAT_INTERVAL_S = 3.0
STALE = timedelta(seconds=12)


class Beating:
    """Writes the heartbeat of this process from a thread until stopped. `report` may be called from any thread.

    `place` distinguishes the processes of one host that must not be mistaken for each other.
    """

    def __init__(self, process: Process, place: str = "") -> None:
        self._process = process
        self._where = f"{process}@{socket.gethostname()[:100]}/{place}:" if place else f"{process}@{socket.gethostname()[:100]}:"
        self._instance = f"{self._where}{os.getpid()}-{secrets.token_hex(3)}"
        self._ready = False
        self._note = ""
        self.is_alone = False
        # How many others of this process were ready at the last heartbeat.
        self.peers = 0
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the heartbeat, and serve the metrics of this process. Raises MetricsPortUnusable."""
        serve_metrics()
        READY.labels(self._process.value).set(self._ready)
        self._thread.start()

    def report(self, *, ready: bool, note: str = "") -> None:
        """Report whether this process is ready, with one sentence on its status."""
        self._ready, self._note = ready, note[:255]
        READY.labels(self._process.value).set(ready)
        self._woken.set()

    def has_peers(self) -> bool:
        """Return whether other instances of this process are ready; False while the database is unavailable."""
        try:
            return self._ready_peers().exists()
        except Error:
            connection.close()
            return False

    def has_twin(self, *, ready: bool) -> bool:
        """Return whether another process reports from the same place: from a second host of the same name.

        `ready`: only if it is ready. A process that died moments ago counts, too. False while the database is unavailable.
        """
        try:
            return (self._ready_peers() if ready else self._peers()).filter(instance__startswith=self._where).exists()
        except Error:
            connection.close()
            return False

    def _peers(self) -> QuerySet[Heartbeat]:
        fresh = Heartbeat.objects.filter(process=self._process, beat_at__gt=timezone.now() - STALE)
        return fresh.exclude(instance=self._instance)

    def _ready_peers(self) -> QuerySet[Heartbeat]:
        return self._peers().filter(ready=True)

    def may_serve_alone(self) -> bool:
        """Return whether this process alone may do work that cannot be shared. Then `is_alone` says whether it still may.

        Each heartbeat renews it. While the database is unavailable it stays as it is.
        """
        try:
            self.is_alone = take_lease(self._process, self._instance)
        except Error:
            connection.close()
        return self.is_alone

    def stop(self) -> None:
        """Delete the heartbeat of this process."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=BEAT_INTERVAL_S)

    def _run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            self._write()
            self._woken.wait(BEAT_INTERVAL_S)
        self._remove()
        connection.close()

    def _write(self) -> None:
        now = timezone.now()
        values = {"process": self._process, "ready": self._ready, "note": self._note, "beat_at": now}
        try:
            Heartbeat.objects.update_or_create(instance=self._instance, defaults=values)
            Heartbeat.objects.filter(beat_at__lt=now - 20 * STALE).delete()
            self.peers = self._ready_peers().count()
            if self.is_alone:
                self.is_alone = take_lease(self._process, self._instance)
        except Error as err:
            connection.close()
            log.debug("No heartbeat: %s", type(err).__name__)

    def _remove(self) -> None:
        try:
            Heartbeat.objects.filter(instance=self._instance).delete()
            release_lease(self._process, self._instance)
        except Error as err:
            log.debug("The heartbeat could not be deleted and stays until it is stale: %s", type(err).__name__)


def needed_processes() -> list[Process]:
    """Return the processes that this installation needs to be ready, without the web process itself."""
    if settings.NEEDED_PROCESSES:
        return [Process(name) for name in settings.NEEDED_PROCESSES]
    needed = [Process.MQTT_BRIDGE, Process.COAP, Process.TASKS]
    return [Process.MQTT_BROKER, *needed] if settings.MQTT_EMBEDDED_BROKER else needed


def missing_processes() -> dict[Process, str]:
    """Return the processes that are not ready, with a sentence on each. Raises django.db.Error."""
    fresh = Heartbeat.objects.filter(beat_at__gt=timezone.now() - STALE)
    beats: dict[str, list[Heartbeat]] = {}
    for beat in fresh:
        beats.setdefault(beat.process, []).append(beat)
    return {
        process: _excuse(beats.get(process, []))
        for process in needed_processes()
        if not any(beat.ready for beat in beats.get(process, []))
    }


def process_states() -> list[tuple[Process, bool, list[str]]]:
    """Return each needed process, whether it is ready, and the status of its instances."""
    missing = missing_processes()
    fresh = Heartbeat.objects.filter(beat_at__gt=timezone.now() - STALE)
    notes: dict[str, list[str]] = {}
    for process, note in fresh.values_list("process", "note"):
        notes.setdefault(process, []).append(note)
    return [
        (process, process not in missing, [note for note in notes.get(process, []) if note] or [missing.get(process, "ready")])
        for process in needed_processes()
    ]


def _excuse(beats: list[Heartbeat]) -> str:
    return next((beat.note for beat in beats if beat.note), "starting") if beats else "not running"
