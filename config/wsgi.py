"""WSGI entry point, served by granian in one or more worker processes."""

import os
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from operations.multiprocess_metrics import share_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Before anything that makes a metric is imported.
share_metrics(Path(settings.METRICS_DIR))

application = get_wsgi_application()
