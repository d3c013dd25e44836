"""The Celery application. Tasks live in each app's tasks.py."""

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("firstlight")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def log_as_the_others_do(**_: Any) -> None:
    """Have the worker's lines in the form of all our processes; Celery leaves logging alone when this is connected."""
    logging.config.dictConfig(settings.LOGGING)
