"""The task worker and its scheduler, as `make run` starts them with a Redis of one's own."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.processes import Server, free_port, listens, program, wait_for
from tests.support.web import ROOT

WORKER = ("--app", "config", "--quiet", "worker", "--beat", "--pool", "threads", "--concurrency", "1", "--without-gossip")


@pytest.fixture
def redis(tmp_path):
    port = free_port()
    command = [program("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = Server(command, tmp_path / "redis.log", cwd=tmp_path)
    wait_for(lambda: listens(port), "Redis")
    yield f"redis://127.0.0.1:{port}/0"
    server.stop()


def test_scheduler_runs_with_redis_and_the_worker_does_not_go_on_without_it(tmp_path, redis):
    data = tmp_path / "data"
    environment = os.environ | {
        "FIRSTLIGHT_DATA": str(data),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tasks.sqlite3'}",
        "REDIS_URL": redis,
    }
    celery = str(Path(sys.executable).with_name("celery"))
    worker = Server([celery, *WORKER], tmp_path / "worker.log", env=environment, cwd=ROOT)
    try:
        wait_for(lambda: list(data.glob("tasks/beat*")) or not worker.alive, "the scheduler's file", timeout_s=120)
        assert worker.alive, worker.output()
        (scheduler,) = psutil.Process(worker.process.pid).children()
        assert scheduler.is_running()

        # Killed until the worker, once it is ready, has seen it.
        scheduler.kill()
        wait_for(lambda: not worker.alive, "the end of the worker", timeout_s=120)
        assert "The scheduler of tasks ended with code -9" in worker.output()
    finally:
        worker.kill()
