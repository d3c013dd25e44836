"""The Celery application. Tasks live in each app's tasks.py."""

import logging.config
import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from core.private_files import make_private_folder

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("firstlight")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def log_as_the_others_do(**_: Any) -> None:
    """Log like all our processes. Celery does not configure logging if this signal has a receiver."""
    logging.config.dictConfig(settings.LOGGING)


@app.on_after_configure.connect
def _make_folders(**_: Any) -> None:
    """Create the folders of the scheduler and of the filesystem queue, which Celery and kombu expect to exist."""
    make_private_folder(Path(settings.CELERY_BEAT_SCHEDULE_FILENAME).parent)
    for option, value in getattr(settings, "CELERY_BROKER_TRANSPORT_OPTIONS", {}).items():
        if "folder" in option:
            make_private_folder(Path(value))
