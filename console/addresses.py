"""Addresses at which devices reach this installation, derived from the operator's browser."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on
MQTTS_PORT = 8883


@dataclass(frozen=True, slots=True)
class Addresses:
    """`http_url` has no path. `mqtt_tls` means TLS. `request_topic` and `response_topic` may contain `{client_id}`."""

    http_url: str
    mqtt_host: str
    mqtt_port: int
    mqtt_tls: bool
    request_topic: str
    response_topic: str
    coap_host: str
    coap_port: int

    @property
    def coap_url(self) -> str:
        host = f"[{self.coap_host}]" if ":" in self.coap_host else self.coap_host
        return f"coap://{host}:{self.coap_port}"


def addresses_for(request: HttpRequest) -> Addresses:
    """Return the addresses under the host name that the operator's browser used."""
    host = urlsplit(f"//{request.get_host()}").hostname or "127.0.0.1"
    return _addresses(http_url=f"{request.scheme}://{request.get_host()}", host=host)


def own_addresses() -> Addresses:
    """Return the addresses at which this process itself reaches the servers."""
    http_host = reachable(settings.HTTP_HOST)
    return _addresses(http_url=f"http://{http_host}:{settings.HTTP_PORT}", host="")


def reachable(host: str) -> str:
    """Return the address to connect to for a `host` to listen on."""
    return "127.0.0.1" if host in ANY_ADDRESS else host


def _addresses(*, http_url: str, host: str) -> Addresses:
    mqtt = urlsplit(settings.MQTT_BROKER_URL)
    tls = mqtt.scheme == "mqtts"
    # The embedded broker keeps replies apart on the topics of unmodified firmware.
    shared = settings.MQTT_EMBEDDED_BROKER
    return Addresses(
        http_url=http_url,
        mqtt_host=mqtt.hostname or host or reachable(settings.MQTT_HOST),
        mqtt_port=mqtt.port or (MQTTS_PORT if tls else settings.MQTT_PORT if shared else 1883),
        mqtt_tls=tls,
        request_topic="/provision/request" if shared else settings.MQTT_REQUEST_TOPIC,
        response_topic="/provision/response" if shared else settings.MQTT_RESPONSE_TOPIC,
        coap_host=host or reachable(settings.COAP_HOST),
        coap_port=settings.COAP_PORT,
    )
