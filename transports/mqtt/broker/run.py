"""The broker as a process: its socket, its signals, its heartbeat."""

import asyncio
import signal
import socket

from django.conf import settings

from operations.choices import Process
from operations.heartbeat import Beating
from operations.ports import connections_allowed
from transports.mqtt.broker.server import ProvisioningBroker


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to `host` and `port`. Raises OSError; OverflowError for what is no port."""
    if not 0 <= port <= 65_535:
        # getaddrinfo would take the lower 16 bits of it.
        raise OverflowError("a port is 0 to 65535")
    family, _, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(address[:2], family=family, backlog=1024)


async def run(listener: socket.socket) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    broker = ProvisioningBroker(listener, max_connections=connections_allowed(settings.MQTT_MAX_CONNECTIONS))
    beating = Beating(Process.MQTT_BROKER)
    beating.start()
    try:
        await broker.start()
        host, port = listener.getsockname()[:2]
        beating.report(ready=True, note=f"Listens on {host}, port {port}.")
        await stopping.wait()
        beating.report(ready=False, note="Stopping.")
        await broker.shutdown()
    finally:
        await asyncio.to_thread(beating.stop)
