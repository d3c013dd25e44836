"""The ports that this installation listens on, and the files that a process may have open."""

import errno
import resource
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from django.conf import settings

# Files that are open besides connections: the database's, the log, libraries.
OTHER_FILES = 100
BACKLOG = 2048


class PortUnusable(Exception):
    """Listening on a port is not possible. The text is one sentence that names the port and its setting."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port to listen on and the environment variable that sets it."""

    variable: str
    host: str
    number: int
    kind: socket.SocketKind = socket.SOCK_STREAM


def http_port() -> Port:
    """Return the port of the web server."""
    return Port("HTTP_PORT", settings.HTTP_HOST, settings.HTTP_PORT)


def needed_ports() -> list[Port]:
    """Return the ports that the processes of `make run` listen on."""
    mqtt = Port("MQTT_PORT", settings.MQTT_HOST, settings.MQTT_PORT)
    coap = Port("COAP_PORT", settings.COAP_HOST, settings.COAP_PORT, socket.SOCK_DGRAM)
    if not settings.MQTT_EMBEDDED_BROKER:
        return [http_port(), coap]
    tls = [] if settings.MQTT_TLS_PORT is None else [Port("MQTT_TLS_PORT", settings.MQTT_HOST, settings.MQTT_TLS_PORT)]
    return [http_port(), mqtt, *tls, coap]


def require_free_ports() -> None:
    """Raise PortUnusable if one of the needed ports is in use or not permitted."""
    with ExitStack() as held:  # all at once, so that two settings with the same number are found, too
        for port in needed_ports():
            held.enter_context(listen(port))


def listen(port: Port) -> socket.socket:
    """Return a socket that listens on `port`, or for UDP is bound to it. Raises PortUnusable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(port.host or None, None, type=port.kind, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, port.kind)
        try:
            if port.kind == socket.SOCK_STREAM:
                # Ignores connections of an earlier run in TIME_WAIT. On UDP the option would share the port.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address[0], port.number, *address[2:]))
            if port.kind == socket.SOCK_STREAM:
                listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as err:
        raise PortUnusable(_sentence(port, err)) from err
    return listener


def connections_allowed(wanted: int) -> int:
    """Return how many connections, `wanted` at most, the process may have open; raises its limit on open files as it can."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + OTHER_FILES if hard == resource.RLIM_INFINITY else min(wanted + OTHER_FILES, hard)
    soft = max(files, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - OTHER_FILES))


def _sentence(port: Port, err: Exception) -> str:
    protocol = "UDP port" if port.kind == socket.SOCK_DGRAM else "Port"
    if isinstance(err, OSError) and err.errno == errno.EADDRINUSE:
        another = f"{port.variable}={port.number + 1}"
        return f"{protocol} {port.number} is in use; choose another one with {port.variable}, e.g. {another}."
    return f"{protocol} {port.number} on {port.host} cannot be used ({err}); choose another one with {port.variable}."
