"""`python -m benchmarks.embedded_broker`: full provisioning sessions a second through the embedded broker alone.

A session is TCP connect, CONNECT, SUBSCRIBE, PUBLISH, the reply, DISCONNECT. A trivial bridge echoes, so no database is
measured. Bridge and devices share one process, the broker has its own: with two cores, one each.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import psutil

from tests.support.mqtt import BRIDGE_PASSWORD, CONNACK_ACCEPTED, EmbeddedBroker, connect_packet, packet, publish_packet, text

CONNECT = connect_packet(username="provision", client_id="provision")
SUBSCRIBE = packet(0x82, b"\0\1" + text("/provision/response") + b"\0")
BRIDGE_SUBSCRIBE = packet(0x82, b"\0\1" + text("/provision/request/+") + b"\1")
PUBLISH = publish_packet("/provision/request", b'{"provisionDeviceKey": "k", "provisionDeviceSecret": "s"}' + b" " * 150)
DISCONNECT = b"\xe0\x00"


async def next_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return first byte and body of the next packet."""
    first, size = await reader.readexactly(2)
    if size & 0x80:
        (more,) = await reader.readexactly(1)
        size = (size & 0x7F) + more * 128
    return first, await reader.readexactly(size)


async def bridge(port: int) -> None:
    """Echo every request and acknowledge it, until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(connect_packet(client_id="bridge", username="bridge", password=BRIDGE_PASSWORD) + BRIDGE_SUBSCRIBE)
    while True:
        first, body = await next_packet(reader)
        if first >> 4 == 3:
            end = 2 + int.from_bytes(body[:2])
            topic = body[2:end].decode().replace("request", "response", 1)
            writer.write(publish_packet(topic, body[end + 2 :]) + packet(0x40, body[end : end + 2]))


async def session(port: int) -> None:
    """Be one device from connect to disconnect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CONNECT)
    assert await reader.readexactly(4) == CONNACK_ACCEPTED
    writer.write(SUBSCRIBE + PUBLISH)
    while (await next_packet(reader))[0] >> 4 != 3:
        pass
    writer.write(DISCONNECT)
    writer.close()


async def measure(port: int, seconds: float, at_once: int) -> int:
    """Return how many sessions `at_once` devices finish in `seconds`."""
    done, end = 0, time.monotonic() + seconds

    async def devices() -> None:
        nonlocal done
        while time.monotonic() < end:
            await session(port)
            done += 1

    echoing = asyncio.create_task(bridge(port))
    await asyncio.gather(*(devices() for _ in range(at_once)))
    echoing.cancel()
    return done


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedded_broker", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--at-once", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broker = EmbeddedBroker(Path(folder))
        try:
            for _ in range(options.rounds):
                done = asyncio.run(measure(broker.port, options.seconds, options.at_once))
                memory = psutil.Process(broker.server.process.pid).memory_info().rss / 2**20
                print(f"{done / options.seconds:,.0f} sessions a second, the broker at {memory:.0f} MiB", flush=True)
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
