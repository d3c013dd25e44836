"""Python's collector of reference cycles, while many rows are alive at once."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Objects made and not freed since it last ran. Three chunks in hand have fewer.
_THRESHOLD = 200_000


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Have the collector run when there is garbage, such as updated devices and their credentials.

    By default it runs every 700 objects, so it would walk through the rows of a chunk again and again while they are in
    use: a quarter of an import's time, measured.
    """
    before = gc.get_threshold()
    gc.set_threshold(_THRESHOLD, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
