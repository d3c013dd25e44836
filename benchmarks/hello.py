"""Settings and routes of a hello-world DRF view behind the same server and middleware: what answering costs at least.

Used as `DJANGO_SETTINGS_MODULE=benchmarks.hello`; the routes stand in hello_urls.py.
"""

from config.settings import *  # noqa: F403 - everything but the routes is as in production

ROOT_URLCONF = "benchmarks.hello_urls"
