"""Who is it? From a CONNECT to a client with its rules (docs/protocol.md, *MQTT* and *With the credentials afterwards*)."""

import hmac
import math
import secrets

from amqtt.mqtt.connack import NOT_AUTHORIZED, SERVER_UNAVAILABLE
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from devices.authentication import AuthenticationFailed, MqttConnect
from provisioning.choices import Transport
from provisioning.errors import Unavailable
from provisioning.login_limits import authenticate
from transports.mqtt.broker.broker_state import BrokerState
from transports.mqtt.broker.clients import BridgeClient, Client, DeviceClient, ProvisioningClient
from transports.mqtt.broker.connect import Connect, Refused

PROVISION = "provision"


async def admit(connect: Connect, state: BrokerState) -> Client:
    """Return the client that has sent `connect`. Raises Refused."""
    client = await _identified(connect, state)
    if connect.will and not client.may_publish(connect.will.topic):
        raise Refused(NOT_AUTHORIZED, "a will for a topic that it may not publish to")
    return client


async def _identified(connect: Connect, state: BrokerState) -> Client:
    if _is_bridge(connect):
        return _bridge(connect, state)
    if PROVISION in (connect.username, connect.client_id):
        return ProvisioningClient(state, name=connect.client_id, address=connect.address)
    presented = MqttConnect(client_id=connect.client_id, username=connect.username, password=connect.password)
    try:
        device = await state.database.run(authenticate, presented, Transport.MQTT, connect.address)
    except AuthenticationFailed as err:
        raise Refused(NOT_AUTHORIZED, str(err)) from None
    except (DatabaseError, InterfaceError, Unavailable) as err:
        raise Refused(SERVER_UNAVAILABLE, f"the database: {type(err).__name__}") from err
    return DeviceClient(state, device, presented)


def _is_bridge(connect: Connect) -> bool:
    if connect.username != settings.MQTT_BRIDGE_USERNAME:
        return False
    return hmac.compare_digest(connect.password.encode(), settings.MQTT_BRIDGE_PASSWORD.encode())


def _bridge(connect: Connect, state: BrokerState) -> BridgeClient:
    properties = connect.properties
    if connect.speaks_5:
        resume, kept_s = not properties.clean_start, float(properties.session_expiry_s)
    else:
        resume, kept_s = not connect.clean, 0.0 if connect.clean else math.inf
    client_id = connect.client_id or secrets.token_hex(8)
    return BridgeClient(state, client_id, resume=resume, kept_s=kept_s, window=properties.receive_maximum)
