"""A Mosquitto with the plugin, and a feed for it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import mosquitto_plugin
from tests.support.broker_feed import FeedServer
from tests.support.mosquitto_plugin import PluginMosquitto

MakeBroker = Callable[..., PluginMosquitto]


@pytest.fixture(scope="session")
def built_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mosquitto_plugin.build_once(tmp_path_factory)


@pytest.fixture
def feed() -> Iterator[FeedServer]:
    server = FeedServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_broker(tmp_path: Path, built_plugin: Path, feed: FeedServer) -> Iterator[MakeBroker]:
    """Return a function that starts a Mosquitto with the plugin; at the end the sanitizers must have found nothing."""
    made: list[PluginMosquitto] = []
    numbers = itertools.count()

    def make(**options: Any) -> PluginMosquitto:
        broker = PluginMosquitto(tmp_path / f"broker-{next(numbers)}", built_plugin, feed.url, **options)
        broker.start()
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def broker(make_broker: MakeBroker) -> PluginMosquitto:
    """A broker that has its list."""
    one = make_broker()
    one.wait_for_log("a new list of")
    return one
