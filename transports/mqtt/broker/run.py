"""The broker as a process: its socket, its signals, its heartbeat."""

import asyncio
import signal
import socket

from django.conf import settings

from operations.choices import Process
from operations.heartbeat import Beating
from operations.ports import connections_allowed
from transports.mqtt.broker.gate import Limits
from transports.mqtt.broker.server import ProvisioningBroker
from transports.mqtt.broker.tls import TlsListener


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to `host` and `port`. Raises OSError; OverflowError for what is no port."""
    if not 0 <= port <= 65_535:
        # getaddrinfo would take the lower 16 bits of it.
        raise OverflowError("a port is 0 to 65535")
    family, _, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(address[:2], family=family, backlog=1024)


async def run(listener: socket.socket, tls: TlsListener | None = None) -> None:
    """Run the broker on sockets that are bound until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    total = connections_allowed(settings.MQTT_MAX_CONNECTIONS)
    limits = Limits.of(total, settings.MQTT_MAX_CONNECTIONS_PER_ADDRESS)
    broker = ProvisioningBroker(listener, limits=limits, tls=tls)
    beating = Beating(Process.MQTT_BROKER)
    beating.start()
    try:
        await broker.start()
        host, port = listener.getsockname()[:2]
        also = f", with TLS on port {tls.socket.getsockname()[1]}" if tls else ""
        beating.report(ready=True, note=f"Listens on {host}, port {port}{also}.")
        await stopping.wait()
        beating.report(ready=False, note="Stopping.")
        await broker.shutdown()
    finally:
        await asyncio.to_thread(beating.stop)
