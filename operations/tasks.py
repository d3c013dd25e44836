"""The heartbeat of the task worker. Celery imports this module into the worker, as it imports tasks."""

from functools import cache
from typing import Any

from celery.signals import worker_ready, worker_shutdown

from operations.choices import Process
from operations.heartbeat import Beating


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
