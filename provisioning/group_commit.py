"""The queue in front of `provision_batch`: requests that come at the same time share one transaction.

There is no timer: what waits when the drainer is free is the next batch. So a single request never waits for others,
and under load the batches grow by themselves. Measured reasons: docs/architecture.md.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

from provisioning import metrics, rejected
from provisioning.choices import Reason
from provisioning.errors import Unavailable
from provisioning.messages import Origin, ProvisionOutcome, ProvisionRequest
from provisioning.rejected import Rejected
from provisioning.services import UNAVAILABLE, provision_batch

log = logging.getLogger(__name__)

MAX_BATCH = 64
# Beyond this many waiting requests a new one is unavailable: its sender would give up before its turn.
MAX_WAITING = 5_000

Provision = Callable[[Sequence[ProvisionRequest]], list[ProvisionOutcome]]
# Called once with the outcome of a request, from any thread. What it raises is logged.
OnDone = Callable[[ProvisionOutcome], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: ProvisionRequest
    on_done: OnDone


class GroupCommit:
    """One queue and one drainer thread, started by the first request. Safe to call from any thread."""

    def __init__(self, provision: Provision = provision_batch) -> None:
        self._provision = provision
        self._queue: queue.Queue[_Waiting | Rejected | None] = queue.Queue(MAX_WAITING)
        self._lock = threading.Lock()
        self._drainer: threading.Thread | None = None
        self._closed = False

    def submit(self, request: ProvisionRequest, on_done: OnDone) -> None:
        """Provision `request` and pass its outcome to `on_done`, with reason UNAVAILABLE if the commit could not be confirmed."""
        if not self._put(_Waiting(request, on_done)):
            _report(on_done, UNAVAILABLE)

    def note_unreadable(self, origin: Origin, detail: str) -> None:
        """Count a request that could not be read. It is dropped if the queue is full."""
        metrics.UNREADABLE.labels(origin.transport.value).inc()
        self._put(Rejected(origin, Reason.MALFORMED, detail=detail[:255]))

    def close(self) -> None:
        """Finish what is waiting, then stop. What is submitted afterwards is refused."""
        with self._lock:
            self._closed = True
            drainer = self._drainer
        if drainer:
            self._queue.put(None)
            drainer.join()

    def forget(self) -> None:
        """Start over in a forked process: threads do not survive a fork, and waiting requests belong to the parent."""
        self._lock = threading.Lock()
        self._queue = queue.Queue(MAX_WAITING)
        self._drainer = None

    def _put(self, item: _Waiting | Rejected) -> bool:
        with self._lock:
            if self._closed:
                return False
            if self._drainer is None:
                self._drainer = threading.Thread(target=self._drain, name="group-commit", daemon=True)
                self._drainer.start()
            try:
                self._queue.put_nowait(item)
            except queue.Full:
                return False
            metrics.WAITING.inc()
            return True

    def _drain(self) -> None:
        stopping = False
        while not stopping:
            items = self._next_batch()
            stopping = None in items
            try:
                self._serve([item for item in items if item is not None])
            except BaseException:
                # Base: a panic in Rust code below is no Exception, and a dead drainer would leave everyone waiting.
                log.exception("The group commit failed; it goes on with the next batch")
            finally:
                metrics.WAITING.dec(len(items) - stopping)
        connection.close()

    def _next_batch(self) -> list[_Waiting | Rejected | None]:
        items = [self._queue.get()]
        while len(items) < MAX_BATCH and items[-1] is not None:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return items

    def _serve(self, items: Sequence[_Waiting | Rejected]) -> None:
        batch = [item for item in items if isinstance(item, _Waiting)]
        if batch:
            self._serve_batch(batch)
        rejected.record([item for item in items if isinstance(item, Rejected)], (), timezone.now())

    def _serve_batch(self, batch: Sequence[_Waiting]) -> None:
        metrics.BATCH_SIZE.observe(len(batch))
        # Every caller gets an outcome, even after an exception.
        outcomes = [UNAVAILABLE] * len(batch)
        try:
            outcomes = self._provision([item.request for item in batch])
        except Unavailable:
            log.info("%d requests are answered as unavailable", len(batch))
        finally:
            for item, outcome in zip(batch, outcomes, strict=True):
                _report(item.on_done, outcome)


def _report(on_done: OnDone, outcome: ProvisionOutcome) -> None:
    try:
        on_done(outcome)
    except Exception:
        # The others of the batch get theirs all the same.
        log.exception("The outcome of a request could not be passed on")


# The queue of this process.
group_commit = GroupCommit()
os.register_at_fork(after_in_child=group_commit.forget)
