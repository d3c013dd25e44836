#!/usr/bin/env python
"""Run one of Firstlight's management commands."""

import os
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import execute_from_command_line

from operations.multiprocess_metrics import share_metrics

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] == ["http_server"]:
        # Before anything that makes a metric is imported.
        share_metrics(Path(settings.METRICS_DIR))
    execute_from_command_line(sys.argv)
