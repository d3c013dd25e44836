"""What the tests of several files here share."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.bridged_mosquitto import Site
from tests.support.mosquitto import Mosquitto

MakeSite = Callable[..., Site]


@pytest.fixture
def site() -> Iterator[MakeSite]:
    """Return a function that makes a Site; its processes end with the test, and none has logged a secret."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        sites: list[Site] = []

        def make(*, shared: bool = False, open_to_all: bool = False, tls: bool = False, **settings: str) -> Site:
            broker = Mosquitto(folder / "broker", shared=shared, open_to_all=open_to_all)
            settings |= broker.add_tls_listener() if tls else {}
            broker.start()
            cleanup.callback(broker.stop)
            sites.append(Site(folder / "site", broker, **settings))
            return sites[-1]

        yield make
        for made in sites:
            for bridge in made.bridges:
                bridge.kill()
            assert made.profile["secret"] not in made.outputs()
