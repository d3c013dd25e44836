"""One broker for each file of tests, and a bridge that echoes for each test."""

import pytest

from tests.support.mqtt import EchoBridge, EmbeddedBroker


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = EmbeddedBroker(tmp_path_factory.mktemp("broker"))
    yield running
    assert running.server.alive, running.server.output()
    assert running.stop() == 0
    assert "Traceback" not in running.server.output()


@pytest.fixture
def bridge(broker):
    running = EchoBridge(broker.port)
    yield running
    running.stop()
