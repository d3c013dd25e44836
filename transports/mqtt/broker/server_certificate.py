"""Which certificate the embedded broker presents over TLS: the operator's, or one of this installation's own CA."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from transports.mqtt.broker.certificates import ServerFiles, own_certificate
from transports.mqtt.broker.tls import CertificateUnusable

LOCAL = ("localhost", "127.0.0.1", "::1")
ALL_ADDRESSES = ("", "0.0.0.0", "::", "*")  # noqa: S104 — compared, not listened on


def server_files() -> ServerFiles:
    """Return the files of the broker's certificate; makes them if the operator has none. Raises CertificateUnusable."""
    certificate, key = settings.MQTT_TLS_CERT_FILE, settings.MQTT_TLS_KEY_FILE
    if bool(certificate) != bool(key):
        raise CertificateUnusable("MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE belong together; set both or neither.")
    if certificate:
        return ServerFiles(ca=None, certificate=Path(certificate), key=Path(key))
    try:
        return own_certificate(settings.MQTT_TLS_FOLDER, _host_names())
    except (OSError, ValueError) as err:
        raise CertificateUnusable(
            f"The certificate in {settings.MQTT_TLS_FOLDER} cannot be used or renewed: {err} "
            "Set MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE, or remove that folder."
        ) from err


def _host_names() -> list[str]:
    """Return the names and addresses by which devices may reach this machine."""
    device_host = urlsplit(settings.MQTT_DEVICE_URL).hostname or ""
    hosts = [*LOCAL, socket.gethostname(), settings.MQTT_HOST, device_host, *settings.ALLOWED_HOSTS]
    plain = [host.strip("[]").lower() for host in hosts]
    # A leading dot in ALLOWED_HOSTS means all names below it.
    return [host for host in plain if host not in ALL_ADDRESSES and not host.startswith(".")]
