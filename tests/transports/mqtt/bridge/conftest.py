"""A bridge's delivery without a broker."""

import pytest

from tests.support.bridge import TOPICS, HeldRequests, ReplyChannel
from transports.mqtt.bridge.delivery import Delivery
from transports.mqtt.bridge.reply_policy import ReplyPolicy


@pytest.fixture
def core() -> HeldRequests:
    return HeldRequests()


@pytest.fixture
def channel() -> ReplyChannel:
    return ReplyChannel()


@pytest.fixture
def delivery(core: HeldRequests, channel: ReplyChannel) -> Delivery:
    delivery = Delivery(ReplyPolicy(TOPICS, shared=False, handle=core), lambda: None)
    delivery.connected(channel, session_present=False)
    return delivery
