"""The circuit breaker: which requests go through while the database is unavailable."""

import pytest

from transports.mqtt.bridge import backoff
from transports.mqtt.bridge.circuit_breaker import CircuitBreaker
from transports.mqtt.bridge.inflight import InflightRequest
from transports.mqtt.bridge.messages import Message


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(backoff.time, "monotonic", lambda: now[0])
    return now


def request(number: int) -> InflightRequest:
    return InflightRequest(Message("/provision/request/a", b""), number, "/provision/response/a")


def test_first_failure_opens_it_and_a_served_trial_releases_all(clock):
    breaker = CircuitBreaker()
    first, second = request(1), request(2)
    assert breaker.is_closed

    breaker.failed(first)
    breaker.hold(second)
    assert not breaker.is_closed
    assert breaker.next_trial() is None, "not due yet"
    clock[0] += 10
    trial = breaker.next_trial()

    assert trial is first
    assert breaker.next_trial() is None, "one trial at a time"
    assert breaker.served(trial) == [second]
    assert breaker.is_closed


def test_request_that_can_never_be_served_does_not_keep_the_others_waiting(clock):
    breaker = CircuitBreaker()
    never, other = request(1), request(2)
    breaker.failed(never)
    breaker.hold(other)

    clock[0] += 10
    breaker.failed(breaker.next_trial())
    clock[0] += 10

    assert breaker.next_trial() is other
