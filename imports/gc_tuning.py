"""Tunes Python's garbage collector while many rows are in memory."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects created and not freed since the last run. Three chunks in memory have fewer.
_THRESHOLD = 200_000


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Run the collector only when there is enough garbage, such as updated devices and their credentials.

    By default it runs every 700 objects and would scan the rows of a chunk again and again while they are in use: a
    quarter of the time of an import.
    """
    before = gc.get_threshold()
    gc.set_threshold(_THRESHOLD, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
