"""Where the broker is and how to get in, from the settings."""

import ssl
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker and the account on it. `str()` is fit for a log. `tls` is None without TLS."""

    scheme: str
    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def bridge_address() -> BrokerAddress:
    """Return where the bridge connects: MQTT_BROKER_URL, else the embedded broker.

    Raises ImproperlyConfigured, without showing a password.
    """
    if not settings.MQTT_BROKER_URL:
        account = settings.MQTT_BRIDGE_USERNAME, settings.MQTT_BRIDGE_PASSWORD
        return BrokerAddress("mqtt", settings.MQTT_HOST, settings.MQTT_PORT, *account)
    return _parse("MQTT_BROKER_URL", settings.MQTT_BROKER_URL, own_certificate=True)


def device_address() -> BrokerAddress:
    """Return where devices connect to the same broker, without an account. Raises ImproperlyConfigured."""
    if not settings.MQTT_BROKER_URL:
        return BrokerAddress("mqtt", settings.MQTT_HOST, settings.MQTT_PORT)
    name = "MQTT_DEVICE_URL" if settings.MQTT_DEVICE_URL else "MQTT_BROKER_URL"
    address = _parse(name, getattr(settings, name), own_certificate=False)
    return replace(address, username="", password="")


def _parse(name: str, text: str, *, own_certificate: bool) -> BrokerAddress:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ImproperlyConfigured(f"{name} cannot be read: its host or port is not one.") from None
    if url.scheme not in PORTS or not url.hostname:
        raise ImproperlyConfigured(f"{name} must look like mqtt://user@host:1883 or mqtts://user@host:8883.")
    tls = _tls(own_certificate=own_certificate) if url.scheme == "mqtts" else None
    password = unquote(url.password or "") or settings.MQTT_BROKER_PASSWORD
    return BrokerAddress(url.scheme, url.hostname, port or PORTS[url.scheme], unquote(url.username or ""), password, tls)


def _tls(*, own_certificate: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.MQTT_CA_FILE or None)
        if own_certificate and settings.MQTT_CERT_FILE:
            context.load_cert_chain(settings.MQTT_CERT_FILE, settings.MQTT_KEY_FILE or None)
    except OSError as err:
        names = "MQTT_CA_FILE, MQTT_CERT_FILE and MQTT_KEY_FILE" if own_certificate else "MQTT_CA_FILE"
        raise ImproperlyConfigured(
            f"TLS to the broker cannot be set up from {names}: {err.strerror or type(err).__name__}."
        ) from err
    return context
