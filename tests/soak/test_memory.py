"""300,000 requests in a row over each transport: in the second half no process grows any more."""

from collections.abc import Callable, Iterator
from statistics import median

import pytest

from benchmarks.loads import coap, http, mqtt
from tests.support.cluster import Cluster
from tests.support.postgres import own_postgres

REQUESTS = 300_000
PARTS = 40
# The last quarter's median may lie this much above the third's.
LEVEL = 1.05
# wrk knows seconds, not requests.
WRK_S = 10.0


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    # One of each, so that each process has all the requests of its transport.
    with own_postgres() as postgres, Cluster(tmp_path, postgres, each=1) as started:
        yield started


def ask_over_http(cluster: Cluster, **options: str) -> int:
    return http.run(port=cluster.http_ports[0], connections=64, seconds=WRK_S, **options).answered


def ask_over_mqtt(cluster: Cluster, **options: str) -> int:
    part = REQUESTS // PARTS
    return mqtt.run(port=cluster.broker.device_port, window=200, seconds=600, limit=part, **options).answered


def ask_over_coap(cluster: Cluster, **options: str) -> int:
    part = REQUESTS // PARTS
    return coap.run(port=cluster.coap_ports[0], outstanding=64, seconds=600, limit=part, **options).answered


@pytest.mark.soak
@pytest.mark.parametrize(("ask", "process"), [(ask_over_http, "web1"), (ask_over_mqtt, "bridge1"), (ask_over_coap, "coap1")])
def test_memory_is_level_in_the_second_half_of_300000_requests(cluster: Cluster, ask: Callable[..., int], process: str):
    profile = cluster.create_profile("sensors")
    answered = [0]
    memory = []

    while answered[-1] < REQUESTS:
        names = f"device-{len(memory)}"
        answered.append(answered[-1] + ask(cluster, names=names, key=profile["key"], secret=profile["secret"]))
        memory.append(cluster.memory_mib()[process])
        print(f"{answered[-1]:,} requests: {memory[-1]:.1f} MiB", flush=True)

    third = median(mib for count, mib in zip(answered[1:], memory, strict=True) if REQUESTS / 2 < count <= REQUESTS * 3 / 4)
    last = median(mib for count, mib in zip(answered[1:], memory, strict=True) if count > REQUESTS * 3 / 4)
    print(f"{process}: {third:.1f} MiB in the third quarter, {last:.1f} MiB in the last")
    assert cluster.count("devices_device") >= REQUESTS
    assert last <= third * LEVEL
