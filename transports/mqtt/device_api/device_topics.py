"""What a device may publish, and what happens then.

Runs in a database thread and knows nothing of connections. Source: docs/protocol.md, *With the credentials afterwards*.
"""

from collections.abc import Callable

from devices.errors import QuotaExceeded
from devices.gateways import ChildRefused
from devices.models import Device
from transports.codecs.device_data import BadDeviceData
from transports.device_data import answer_attribute_request, answer_rpc, take_attributes, take_telemetry
from transports.mqtt import reason_codes
from transports.mqtt.device_api import gateway_topics
from transports.mqtt.device_api.messages import MAX_INFLIGHT, Answer, MessageRefused, Served
from transports.mqtt.device_api.topics import (
    ATTRIBUTE_REQUEST,
    ATTRIBUTE_RESPONSE,
    ATTRIBUTES,
    GATEWAY_PREFIX,
    RPC_REQUEST,
    RPC_RESPONSE,
    TELEMETRY,
)

_TAKES: dict[str, Callable[[Device, bytes], None]] = {
    **dict.fromkeys(TELEMETRY, take_telemetry),
    **dict.fromkeys(ATTRIBUTES, take_attributes),
}


def serve(device: Device, topic: str, body: bytes) -> Served:
    """Keep what `device` published, and return what follows. Raises MessageRefused, and then nothing was kept."""
    try:
        return _serve(device, topic, body)
    except BadDeviceData as err:
        raise MessageRefused(reason_codes.PAYLOAD_FORMAT_INVALID, str(err)) from None
    except QuotaExceeded as err:
        raise MessageRefused(reason_codes.QUOTA_EXCEEDED, str(err)) from None
    except ChildRefused as err:
        raise MessageRefused(reason_codes.NOT_AUTHORIZED, str(err)) from None


def _serve(device: Device, topic: str, body: bytes) -> Served:
    if take := _TAKES.get(topic):
        take(device, body)
        return Served()
    if topic.startswith(GATEWAY_PREFIX):
        return gateway_topics.serve(device, topic, body)
    if number := _number(topic, ATTRIBUTE_REQUEST):
        return Served((Answer(ATTRIBUTE_RESPONSE + number, answer_attribute_request(device, body)),))
    if number := _number(topic, RPC_REQUEST):
        return Served((Answer(RPC_RESPONSE + number, answer_rpc(device, body, max_inflight=MAX_INFLIGHT)),))
    raise MessageRefused(reason_codes.TOPIC_NAME_INVALID, "nothing is served on this topic")


def _number(topic: str, prefix: str) -> str:
    """Return the number of a request behind `prefix`, "" for another topic."""
    number = topic.removeprefix(prefix)
    return number if number != topic and number.isascii() and number.isdigit() else ""
