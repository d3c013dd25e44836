"""Are the ports free on which this installation will listen?"""

import errno
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from django.conf import settings


class PortUnusable(Exception):
    """A port cannot be listened on. The text is one sentence that names the port and its setting."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port to listen on and the environment variable that sets it."""

    variable: str
    host: str
    number: int
    kind: socket.SocketKind = socket.SOCK_STREAM


def needed_ports() -> list[Port]:
    """Return the ports that the processes of `make run` listen on."""
    http = Port("HTTP_PORT", settings.HTTP_HOST, settings.HTTP_PORT)
    mqtt = Port("MQTT_PORT", settings.MQTT_HOST, settings.MQTT_PORT)
    coap = Port("COAP_PORT", settings.COAP_HOST, settings.COAP_PORT, socket.SOCK_DGRAM)
    return [http, mqtt, coap] if settings.MQTT_EMBEDDED_BROKER else [http, coap]


def require_free_ports() -> None:
    """Raise PortUnusable when one of the needed ports is in use or not ours to take."""
    with ExitStack() as held:  # all at once, so that two settings with the same number are found too
        for port in needed_ports():
            try:
                _listen(port, held)
            except (OSError, OverflowError) as err:
                raise PortUnusable(_sentence(port, err)) from err


def _listen(port: Port, held: ExitStack) -> None:
    family, _, _, _, address = socket.getaddrinfo(port.host, None, type=port.kind)[0]
    probe = held.enter_context(socket.socket(family, port.kind))
    if port.kind == socket.SOCK_STREAM:
        # Connections of an earlier run that are still in TIME_WAIT do not count. On UDP the option would share the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind((address[0], port.number, *address[2:]))
    if port.kind == socket.SOCK_STREAM:
        probe.listen(1)


def _sentence(port: Port, err: Exception) -> str:
    protocol = "UDP port" if port.kind == socket.SOCK_DGRAM else "Port"
    if isinstance(err, OSError) and err.errno == errno.EADDRINUSE:
        another = f"{port.variable}={port.number + 1}"
        return f"{protocol} {port.number} is in use; choose another one with {port.variable}, e.g. {another}."
    return f"{protocol} {port.number} on {port.host} cannot be used ({err}); choose another one with {port.variable}."
