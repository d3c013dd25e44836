"""Measures how much slower large tables are. Run with `python -m benchmarks.growth`.

Two whole installations, one with few devices and attempts preloaded and one with many, measured in turn, over and over, so
that other load on the machine affects both. A ratio compares the two runs of a round; the result is the median of the rounds.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median

from benchmarks.installation import Installation
from benchmarks.loads import Pair, http, mqtt
from benchmarks.loads.outcome import Outcome
from benchmarks.preload import preload

WANTED_RATIO = 0.8
SMALL = (20_000, 20_000)
LARGE = (1_000_000, 5_000_000)
Load = Callable[[str], Outcome]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each load runs in each round")
    parser.add_argument("--devices", type=int, default=LARGE[0], help="devices preloaded into the large installation")
    parser.add_argument("--attempts", type=int, default=LARGE[1], help="attempts preloaded into it")
    options = parser.parse_args()
    with Installation() as small, Installation() as large:
        sides = {
            "small": prepared(small, options.seconds, *SMALL),
            "large": prepared(large, options.seconds, options.devices, options.attempts),
        }
        measured = measure(sides, options.rounds)
    print(f"\n{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores")
    print("small: {:,} devices, {:,} attempts; ".format(*SMALL) + f"large: {options.devices:,} and {options.attempts:,}\n")
    print(table(measured))


def prepared(installation: Installation, seconds: float, devices: int, attempts: int) -> dict[str, Load]:
    """Return the loads on `installation`, by name, with that many rows in its tables and every plan made for them."""
    profile = installation.create_profile("benchmark", "ALLOW_CREATE_NEW_DEVICES")
    pair = Pair(key=profile["key"], secret=profile["secret"])
    loads: dict[str, Load] = {
        "http": lambda names: http.run(port=installation.http_port, connections=64, seconds=seconds, names=names, **pair),
        "mqtt": lambda names: mqtt.run(port=installation.mqtt_port, window=200, seconds=seconds, names=names, **pair),
    }
    started = time.monotonic()
    # The first device's credentials are what the preloaded ones copy.
    while not installation.sql("SELECT 1 FROM devices_device LIMIT 1"):
        http.run(port=installation.http_port, connections=4, seconds=2, names="warm", **pair)
    preload(installation, profile, devices, attempts)
    print(f"{devices:,} devices and {attempts:,} attempts preloaded in {time.monotonic() - started:.0f} s", flush=True)
    for name, load in loads.items():
        load(f"first-{name}")
    return loads


def measure(sides: dict[str, dict[str, Load]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return requests a second of each round, by load and side. Which side goes first alternates."""
    measured: dict[str, dict[str, list[float]]] = {name: {side: [] for side in sides} for name in sides["small"]}
    for number in range(rounds):
        for name, by_side in measured.items():
            for side in list(sides)[:: 1 if number % 2 else -1]:
                outcome = sides[side][name](f"{name}-{number}")
                assert not outcome.refused, f"{outcome.refused} requests were refused"
                by_side[side].append(outcome.per_second)
                print(f"round {number + 1} {name} {side}: {outcome.per_second:,.0f} a second", flush=True)
    return measured


def table(measured: dict[str, dict[str, list[float]]]) -> str:
    """Return the medians of rates and of ratios as a Markdown table."""
    lines = [f"| load | small, requests/s | large, requests/s | ratio, {WANTED_RATIO} wanted |", "|---|---:|---:|---:|"]
    for name, sides in measured.items():
        ratio = median(large / small for small, large in zip(sides["small"], sides["large"], strict=True))
        lines.append(f"| {name} | {median(sides['small']):,.0f} | {median(sides['large']):,.0f} | {ratio:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
