"""A cluster under load while twins ask at two sources, bridges and broker die, and the database stops.

Each test has a small run among all tests and a large one that `make soak` runs, which prints what devices had to do again.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster
from tests.support.fleet import Fleet
from tests.support.postgres import own_postgres
from tests.support.processes import wait_for
from tests.support.sources import Answer, Source, sources_at

AT_ONCE = 96
# One device in so many provisions twice, as a copy of it would.
TWIN_EVERY = 5
ANSWERED_WITHIN_S = 60
TIMEOUT_S = 10.0
# A device over MQTT that is answered when the database is back does not ask twice.
PATIENCE_S = 120.0
RECOVERED_WITHIN_S = 5.0
MQTT_AT_ONCE = 100
# Shares of the devices that have their answer when something is done to the cluster.
BRIDGE_1, BRIDGE_2, BROKER = 0.2, 0.45, 0.7


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """Return two web servers, two bridges and two CoAP servers on one PostgreSQL and one Mosquitto, all ready."""
    with own_postgres() as postgres, Cluster(tmp_path_factory.mktemp("cluster"), postgres) as started:
        yield started
        assert "Traceback" not in started.outputs()


async def ask_all(cluster: Cluster, profile: dict[str, str], count: int) -> dict[str, list[Answer]]:
    """Return the answers by device name: one, or for a fifth of the devices two, from two sources at once."""
    answers: dict[str, list[Answer]] = {}
    choice = random.Random(count)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def ask(name: str, sources: list[Source]) -> None:
        pair = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}
        body = json.dumps(pair | {"deviceName": name}).encode()
        async with at_once, asyncio.timeout(ANSWERED_WITHIN_S):
            answers[name] = await asyncio.gather(*(source.ask(name, body) for source in sources))

    async with sources_at(cluster.ports) as sources, asyncio.TaskGroup() as group:
        for number in range(count):
            twin = number % TWIN_EVERY == 0
            group.create_task(ask(f"{profile['id']}-{number}", choice.sample(sources, 2 if twin else 1)))
    return answers


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.soak)])
def test_device_requested_at_two_sources_succeeds_exactly_once(cluster: Cluster, count: int):
    profile = cluster.create_profile(f"{count} sensors")

    answers = asyncio.run(ask_all(cluster, profile, count))

    won = {name: [one.fields for one in got if one.status == "SUCCESS"] for name, got in answers.items()}
    lost = [one for got in answers.values() for one in got if one.status != "SUCCESS"]
    assert {len(fields) for fields in won.values()} == {1}
    assert len(lost) == count / TWIN_EVERY
    assert {one.status for one in lost} == {"FAILURE"}
    assert cluster.misinformed(profile, {name: fields for name, (fields,) in won.items()}) == []
    attempts = f"provisioning_provisionattempt WHERE profile_id = '{profile['id']}'"
    assert cluster.count(attempts) == count + len(lost)
    assert cluster.count(f"{attempts} AND outcome = 'SUCCESS' AND device_id IS NOT NULL") == count
    assert cluster.count(f"{attempts} AND outcome = 'FAILURE' AND reason = 'NAME_TAKEN'") == len(lost)


def kill_bridge(cluster: Cluster, name: str) -> None:
    cluster.servers[name].kill()
    cluster.start(name)
    cluster.wait_until_ready()


def restart_broker(cluster: Cluster) -> None:
    cluster.broker.stop()
    cluster.broker.start()
    cluster.wait_until_ready()


def assert_each_has_its_own(cluster: Cluster, profile: dict[str, str], fleet: Fleet) -> None:
    """Every device got its own name and the token that is stored for it, and nothing else is stored."""
    result = {name: answer.fields for name, answer in fleet.answers.items()}
    assert cluster.misinformed(profile, result) == []
    assert cluster.count(f"devices_device WHERE profile_id = '{profile['id']}'") == len(result)
    created = f"provisioning_provisionattempt WHERE profile_id = '{profile['id']}' AND reason = 'CREATED'"
    assert cluster.count(created) == len(result)


@pytest.mark.parametrize("count", [600, pytest.param(20_000, marks=pytest.mark.soak)])
def test_killed_bridges_and_a_restarted_broker_leave_no_device_without_credentials(cluster: Cluster, count: int):
    profile = cluster.create_profile(f"{count} sensors on MQTT")
    events = (
        (BRIDGE_1, lambda: kill_bridge(cluster, "bridge1")),
        (BRIDGE_2, lambda: kill_bridge(cluster, "bridge2")),
        (BROKER, lambda: restart_broker(cluster)),
    )

    outages = []

    with Fleet(cluster.ports, profile, only="mqtt", at_once=MQTT_AT_ONCE, timeout_s=TIMEOUT_S, count=count) as fleet:
        for share, event in events:
            wait_for(lambda share=share: len(fleet.answers) >= share * count, f"{share:.0%} of the answers", 600)
            began = time.monotonic()
            event()
            outages.append((began, time.monotonic()))
        fleet.join()

    print(f"{count} devices over MQTT asked {fleet.tries} times; again because of {dict(fleet.retries())}")
    assert len(fleet.answers) == count
    assert [one for one in fleet.troubles if one.answer] == []
    # Only who waited while something was down had to ask again.
    assert [one for one in fleet.troubles if not any(one.asked_at < end and one.over_at > began for began, end in outages)] == []
    assert_each_has_its_own(cluster, profile, fleet)


@pytest.mark.parametrize("away_s", [3.0, pytest.param(20.0, marks=pytest.mark.soak)])
def test_database_outage_costs_no_success_and_is_reported(cluster: Cluster, away_s: float):
    profile = cluster.create_profile(f"away for {away_s} s")
    processes = cluster.pids()

    with Fleet(cluster.ports, profile, at_once=8, timeout_s=PATIENCE_S) as fleet:
        wait_for(lambda: len(fleet.last_success) == 5, "every source to be in use")
        cluster.postgres.stop()
        assert_recovers(cluster, fleet)

        cluster.postgres.stop()
        gone = time.monotonic()
        wait_for(lambda: time.monotonic() - gone > away_s, "the outage to last")
        assert_recovers(cluster, fleet)

    result = {(one.source, one.answer.code, one.answer.wait_s) for one in fleet.troubles if one.answer}
    print(f"{len(fleet.answers)} devices asked {fleet.tries} times; again because of {dict(fleet.retries())}")
    assert result == {("web1", "503", 5), ("web2", "503", 5), ("coap1", "5.03", 5), ("coap2", "5.03", 5)}
    assert [one.error for one in fleet.troubles if not one.answer] == []
    assert_each_has_its_own(cluster, profile, fleet)
    assert cluster.pids() == processes


def assert_recovers(cluster: Cluster, fleet: Fleet) -> None:
    """Start PostgreSQL; within 5 s of its return every source serves, and no earlier request is still waiting."""
    cluster.postgres.start()
    back = time.monotonic()
    wait_for(
        lambda: min(fleet.last_success.values()) > back and not fleet.waiting_since(back),
        "service after the return of the database",
        RECOVERED_WITHIN_S,
    )
    print(f"Recovered {time.monotonic() - back:.1f} s after the return of the database")
