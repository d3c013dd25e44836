"""The heartbeat of the task worker. Celery imports this module into the worker, as it imports tasks."""

import logging
import os
import signal
import threading
from functools import cache
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from operations.choices import Process
from operations.heartbeat import Beating

log = logging.getLogger(__name__)

_stopping = threading.Event()


@cache
def _beating() -> Beating:
    beating = Beating(Process.TASKS)
    beating.start()
    return beating


@worker_ready.connect
def _tell_ready(**_: Any) -> None:
    # This signal is sent again after each reconnection to Celery's broker.
    _beating().report(ready=True)


@worker_shutdown.connect
def _tell_gone(**_: Any) -> None:
    _beating().stop()


@worker_ready.connect
def _watch_scheduler(sender: Any, **_: Any) -> None:
    # The scheduler of `celery worker --beat`, a process of its own.
    scheduler = getattr(sender.controller, "beat", None)
    if scheduler:
        threading.Thread(target=_stop_without, args=(scheduler,), name="scheduler-watch", daemon=True).start()


@worker_shutting_down.connect
def _tell_stopping(**_: Any) -> None:
    _stopping.set()


def _stop_without(scheduler: Any) -> None:
    """Stop the worker when its scheduler ends by itself, which Celery does not notice; both are started again together."""
    scheduler.join()
    if not _stopping.is_set():
        log.error("The scheduler of tasks ended with code %s; the worker stops, too", scheduler.exitcode)
        os.kill(os.getpid(), signal.SIGTERM)
