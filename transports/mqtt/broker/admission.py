"""From a CONNECT to a client with its rules (docs/protocol.md, *MQTT*)."""

import hmac
import math
import secrets

from amqtt.mqtt.connack import NOT_AUTHORIZED, SERVER_UNAVAILABLE
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from core.text import has_control_characters
from devices.authentication import AuthenticationFailed, MqttConnect, Presented, PresentedCertificate
from devices.models import Device
from provisioning.choices import Transport
from provisioning.errors import Unavailable
from provisioning.login_limits import LoginLimited, authenticate
from transports.mqtt.broker.bridge_client import BridgeClient
from transports.mqtt.broker.broker_state import BrokerState
from transports.mqtt.broker.clients import Client
from transports.mqtt.broker.connect import Connect, Refused
from transports.mqtt.broker.device_client import DeviceClient
from transports.mqtt.broker.gate import Place
from transports.mqtt.broker.mqtt5 import BAD_USER_NAME_OR_PASSWORD, CONNECTION_RATE_EXCEEDED
from transports.mqtt.broker.provisioning_client import ProvisioningClient

PROVISION = "provision"


async def admit(connect: Connect, state: BrokerState, place: Place) -> Client:
    """Return the client that has sent `connect`, which has its `place` then. Raises Refused."""
    if _is_bridge(connect):
        return _with_room(place.is_bridge(), _bridge(connect, state))
    if connect.username == PROVISION or (connect.client_id == PROVISION and not connect.username and not connect.certificate):
        return _with_room(place.provisions(), _provisioning(connect, state))
    try:
        async with state.logins.turn(connect.address):
            device, presented = await state.database.run(_identified, _credentials(connect), connect.address)
    except AuthenticationFailed as err:
        if connect.client_id == PROVISION:
            # Firmware that provisions under this client id, and with a user name of its own.
            return _with_room(place.provisions(), _provisioning(connect, state))
        if isinstance(err, LoginLimited):
            raise Refused(SERVER_UNAVAILABLE, str(err), CONNECTION_RATE_EXCEEDED) from None
        raise Refused(NOT_AUTHORIZED, str(err), BAD_USER_NAME_OR_PASSWORD) from None
    except (DatabaseError, InterfaceError, Unavailable) as err:
        raise Refused(SERVER_UNAVAILABLE, f"the database: {type(err).__name__}") from err
    return _with_room(place.is_device(), DeviceClient(state, device, presented, client_id=connect.client_id))


def _with_room(has_room: bool, client: Client) -> Client:  # noqa: FBT001
    if not has_room:
        raise Refused(SERVER_UNAVAILABLE, "too many connections")
    return client


def _credentials(connect: Connect) -> list[Presented]:
    """Return what `connect` presents, in the order in which it counts."""
    basic = MqttConnect(client_id=connect.client_id, username=connect.username, password=connect.password)
    if not connect.certificate:
        return [basic]
    client_id = "" if has_control_characters(connect.client_id) else connect.client_id
    return [PresentedCertificate(connect.certificate, client_id), basic]


def _identified(presented: list[Presented], address: str) -> tuple[Device, Presented]:
    """Return the device, and by which credentials it is known. Raises AuthenticationFailed and LoginLimited."""
    *others, last = presented
    for one in others:
        try:
            return authenticate(one, Transport.MQTT, address), one
        except AuthenticationFailed:
            continue
    return authenticate(last, Transport.MQTT, address), last


def _is_bridge(connect: Connect) -> bool:
    if connect.username != settings.MQTT_BRIDGE_USERNAME:
        return False
    return hmac.compare_digest(connect.password.encode(errors="surrogateescape"), settings.MQTT_BRIDGE_PASSWORD.encode())


def _bridge(connect: Connect, state: BrokerState) -> BridgeClient:
    kept_in_3_s = 0.0 if connect.clean else math.inf
    return BridgeClient(
        state,
        connect.client_id or secrets.token_hex(8),
        resume=not connect.clean,
        kept_s=float(connect.properties.session_expiry_s) if connect.speaks_5 else kept_in_3_s,
        window=connect.properties.receive_maximum,
    )


def _provisioning(connect: Connect, state: BrokerState) -> ProvisioningClient:
    return ProvisioningClient(
        state,
        name=connect.client_id,
        address=connect.address,
        max_packet=connect.properties.maximum_packet_size,
        certificate=connect.certificate,
    )
