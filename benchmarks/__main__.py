"""`python -m benchmarks`: every load in turn, several rounds, each as a ratio to what the database can do at most."""

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.installation import Installation
from benchmarks.loads import Pair, coap, http, mqtt, pgbench
from benchmarks.loads.outcome import Outcome
from benchmarks.preload import DEVICES, insert_devices, preload
from benchmarks.report import BASE, summary, table
from benchmarks.usage import usage

# Loads whose devices are not looked for afterwards.
WRITES_NOTHING = (BASE, "hello_lone")
Load = Callable[[str], Outcome]
# More devices than any load can ask for.
PREPROVISIONED_PER_SECOND = 4_000


def main() -> None:
    options = _options()
    with Installation() as installation:
        loads = _loads(installation, options.seconds, options.devices, options.attempts)
        chosen = {name: load for name, load in loads.items() if name == BASE or not options.only or name in options.only}
        outcomes: dict[str, list[Outcome]] = {name: [] for name in chosen}
        lost = dict.fromkeys(chosen, 0)
        before = usage(installation)
        for number in range(options.rounds):
            for name, load in chosen.items():
                names = f"{name}-{number}"
                outcome = load(names)
                outcomes[name].append(outcome)
                lost[name] += 0 if name in WRITES_NOTHING else _lost(installation, names, outcome)
                print(f"round {number + 1} {name}: {outcome.per_second:,.0f} a second", flush=True)
        result = summary(outcomes, lost)
        where = f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores"
        print(f"\n{where}, {options.devices:,} devices and {options.attempts:,} attempts preloaded\n")
        print(table(result))
        print("\n| process | CPU s | memory MiB |\n|---|---:|---:|")
        for name, used in usage(installation).items():
            print(f"| {name} | {used.cpu_s - before[name].cpu_s:.1f} | {used.memory_mib:.0f} |")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each load runs in each round")
    parser.add_argument("--devices", type=int, default=DEVICES, help="devices preloaded")
    parser.add_argument("--attempts", type=int, default=DEVICES, help="attempts preloaded")
    parser.add_argument("--only", nargs="*", default=[], help="names of loads")
    parser.add_argument("--json", type=Path, default=os.environ.get("BENCH_JSON") or None, help="also write the medians there")
    return parser.parse_args()


def _loads(installation: Installation, seconds: float, devices: int, attempts: int) -> dict[str, Load]:
    create = installation.create_profile("benchmark", "ALLOW_CREATE_NEW_DEVICES")
    claim = installation.create_profile("benchmark, pre-provisioned", "CHECK_PRE_PROVISIONED_DEVICES")
    key_id = installation.sql(f"SELECT id FROM profiles_provisioningkey WHERE profile_id = '{create['id']}'")
    creating = Pair(key=create["key"], secret=create["secret"])
    claiming = Pair(key=claim["key"], secret=claim["secret"])
    # Servers warm up, and the first device's credentials are what the preloaded ones copy.
    http.run(port=installation.http_port, connections=4, seconds=2, names="warm", **creating)
    preload(installation, create, devices, attempts)
    count = int(PREPROVISIONED_PER_SECOND * seconds)

    def prepared(load: Load) -> Load:
        def run(names: str) -> Outcome:
            insert_devices(installation, claim, names, count, provisioned=False)
            installation.sql("VACUUM ANALYZE devices_device, devices_devicecredentials, devices_deviceattribute")
            return load(names)

        return run

    port, coap_port, mqtt_port = installation.http_port, installation.coap_port, installation.mqtt_port
    return {
        BASE: lambda _: pgbench.run(url=installation.database_url, seconds=seconds, profile=create["id"], key=key_id),
        "hello_lone": lambda names: http.run(
            port=installation.hello_port, connections=1, seconds=seconds, names=names, **creating
        ),
        "http_lone": lambda names: http.run(port=port, connections=1, seconds=seconds, names=names, **creating),
        "http_16": lambda names: http.run(port=port, connections=16, seconds=seconds, names=names, **creating),
        "http": lambda names: http.run(port=port, connections=64, seconds=seconds, names=names, **creating),
        "mqtt": lambda names: mqtt.run(port=mqtt_port, window=200, seconds=seconds, names=names, **creating),
        "coap": lambda names: coap.run(port=coap_port, outstanding=64, seconds=seconds, names=names, **creating),
        "http_preprovisioned": prepared(
            lambda names: http.run(port=port, connections=64, seconds=seconds, names=names, numbered=True, **claiming)
        ),
        "mqtt_preprovisioned": prepared(
            lambda names: mqtt.run(port=mqtt_port, window=200, seconds=seconds, names=names, limit=count, **claiming)
        ),
        "coap_preprovisioned": prepared(
            lambda names: coap.run(port=coap_port, outstanding=64, seconds=seconds, names=names, limit=count, **claiming)
        ),
    }


def _lost(installation: Installation, names: str, outcome: Outcome) -> int:
    """Return how many requests have no reply, or a reply and no complete set of rows: device, credentials, attribute, attempt."""
    complete = installation.sql(f"""
        SELECT count(*) FROM devices_device d
        JOIN devices_devicecredentials c ON c.device_id = d.id
        JOIN devices_deviceattribute a ON a.device_id = d.id AND a.key = 'provisionState'
        WHERE d.name LIKE '{names}-%' AND d.provisioned_at IS NOT NULL
          AND (SELECT count(*) FROM provisioning_provisionattempt p WHERE p.device_id = d.id AND p.outcome = 'SUCCESS') = 1""")
    return outcome.unanswered + max(0, outcome.answered - int(complete))


if __name__ == "__main__":
    main()
