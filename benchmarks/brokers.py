"""`python -m benchmarks.brokers`: a Mosquitto that admits by the plugin, as a ratio to the same one that admits anyone.

Then what a running Firstlight takes for its part (broker_calls.py).
"""

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from benchmarks import broker_calls
from tests.support import mosquitto_plugin
from tests.support.broker_feed import BROKER, digest
from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import CONNACK_ACCEPTED, connect_packet
from tests.support.processes import Server, lasting_port, listens, program, wait_for

PROCESSES = 2
NOWHERE = "http://127.0.0.1:9"  # the plugin admits by its stored list


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = mosquitto_plugin.build(folder / "build", sanitize=False)
        anyone = _anonymous(folder / "anyone")
        empty = _with_plugin(folder / "empty", built, 0)
        ours = _with_plugin(folder / "plugin", built, options.devices)
        memory = _memory_mib(ours.server) - _memory_mib(empty.server)
        rounds = [(_connects(anyone[1], options), _connects(ours.port, options)) for _ in range(options.rounds)]
        for server in (anyone[0], empty.server, ours.server):
            if server:
                server.stop()
        result = {
            "connects_per_second_anonymous": statistics.median(one for one, _ in rounds),
            "connects_per_second_plugin": statistics.median(two for _, two in rounds),
            "connects_ratio": statistics.median(two / one for one, two in rounds),
            "plugin_memory_mib": memory,
        }
        if not options.plugin_only:
            result |= broker_calls.measure(folder, built, options.devices, options.rounds, options.seconds)
    for key, value in result.items():
        print(f"{key:32} {value:,.2f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.brokers", description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--plugin-only", action="store_true", help="no snapshots, no admissions over HTTP, no kicks")
    parser.add_argument("--json", type=Path, default=os.environ.get("BENCH_JSON") or None)
    return parser.parse_args()


def _token(number: int) -> str:
    return f"token-of-device-{number:08}"


def _anonymous(folder: Path) -> tuple[Server, int]:
    folder.mkdir()
    port = lasting_port()
    (folder / "mosquitto.conf").write_text(f"allow_anonymous true\nlistener {port} 127.0.0.1\nuser root\n")
    server = Server([program("mosquitto", "mosquitto"), "-c", str(folder / "mosquitto.conf")], folder / "log", cwd=folder)
    wait_for(lambda: listens(port), "Mosquitto")
    return server, port


def _with_plugin(folder: Path, built: Path, devices: int) -> PluginMosquitto:
    broker = PluginMosquitto(folder, built, NOWHERE, sanitized=False)
    with broker.replica.open("w") as file:
        file.write(f"firstlight-replica 1 {BROKER} {digest('file')}\nfirstlight 1 e c {devices}\n")
        for number in range(devices):
            name = f"DHT11-{number:014}"  # 20 characters
            file.write(f"+ {uuid.uuid4().hex} - 0 {digest('username', _token(number))} - {name}\n")
        file.write("end c\n")
    broker.start()
    broker.wait_for_log(f"{devices} devices from the stored list")
    return broker


def _memory_mib(server: Server | None) -> float:
    assert server
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _connects(port: int, options: argparse.Namespace) -> float:
    """Return how many clients a second the broker has accepted, each on a connection of its own."""
    with multiprocessing.Pool(PROCESSES) as pool:
        counts = pool.starmap(_connect_for, [(port, options.seconds, n, options.devices) for n in range(PROCESSES)])
    return float(sum(counts) / options.seconds)


def _connect_for(port: int, seconds: float, first: int, devices: int) -> int:
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        number = (first + count * PROCESSES) * 7919 % devices
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(connect_packet(client_id=f"c{first}-{count}", username=_token(number)))
            assert one.recv(4) == CONNACK_ACCEPTED
            one.sendall(b"\xe0\x00")
        count += 1
    return count


if __name__ == "__main__":
    main()
