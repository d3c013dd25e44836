"""The web server: its socket, its worker processes, and what runs in each of them."""

import asyncio
import gc
import os
import socket
from functools import partial

import uvicorn
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.urls import reverse

from operations import multiprocess_metrics
from operations.ports import connections_allowed
from provisioning.group_commit import group_commit
from transports.database_threads import Threads
from transports.http.asgi import Application, UploadLimits
from transports.http.connection import Connection, ConnectionLimits, SilentConnections
from transports.http.long_poll import long_polls
from transports.http.workers import Workers

# Seconds in which a stopping worker finishes its requests.
GRACE_S = 5
# Requests that may wait for a thread in one process; more get 503 with Retry-After.
MAX_WAITING = 500
VIEWS_ON_LOOP = ("provision",)
UPLOAD_VIEWS = ("bulk-import", "import-list", "admin:imports_importjob_add")


class WorkerServer(uvicorn.Server):
    """uvicorn in one worker process. It ends by itself when the parent process is gone (`parent` can be read then)."""

    def __init__(self, config: uvicorn.Config, parent: int) -> None:
        super().__init__(config)
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        long_polls.start()
        asyncio.get_running_loop().add_reader(self._parent, self._parent_is_gone)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await long_polls.stop()
        await super().shutdown(sockets)

    def _parent_is_gone(self) -> None:
        self.should_exit = True
        asyncio.get_running_loop().remove_reader(self._parent)


def serve(listener: socket.socket) -> None:
    """Serve `listener` until SIGTERM or SIGINT."""
    metrics = multiprocess_metrics.shared
    reading, writing = os.pipe()

    def work(number: int) -> None:
        os.close(writing)
        if metrics:
            metrics.use_slot(number)
        _run_worker(listener, reading)

    def on_death(number: int) -> None:
        if metrics:
            metrics.forget_state(number)

    connections.close_all()
    # What is loaded now stays in memory that all workers share: the collector must not write to it.
    gc.collect()
    gc.freeze()
    Workers(settings.HTTP_WORKERS, work, on_death).run()


def _run_worker(listener: socket.socket, parent: int) -> None:
    total = connections_allowed(settings.HTTP_MAX_CONNECTIONS)
    # A proxy brings everyone's requests.
    per_source = None if settings.TRUSTED_PROXIES else settings.HTTP_CONNECTIONS_PER_ADDRESS
    silent = SilentConnections(ConnectionLimits(total, per_source))
    uploads = UploadLimits(frozenset(map(reverse, UPLOAD_VIEWS)), settings.IMPORT_MAX_UPLOAD_BYTES)
    on_loop = frozenset(map(reverse, VIEWS_ON_LOOP))
    application = Application(WSGIHandler(), Threads(settings.HTTP_THREADS, MAX_WAITING), uploads, on_loop)
    WorkerServer(uvicorn_config(application, silent, GRACE_S), parent).run([listener])
    group_commit.close()


def uvicorn_config(application: Application, silent: SilentConnections, grace_s: int) -> uvicorn.Config:
    """Return how uvicorn serves `application`: `silent` bounds its connections, and it stops within `grace_s`."""
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=partial(Connection, silent),  # type: ignore[arg-type] # called as the class would be
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-For is read in addresses.py.
        proxy_headers=False,
        timeout_graceful_shutdown=grace_s,
    )
