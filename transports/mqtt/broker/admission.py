"""Who is it? From a CONNECT to a client with its rules (protocol.md, *MQTT* and *With the credentials afterwards*)."""

import hmac
import math

from amqtt.mqtt.connack import NOT_AUTHORIZED, SERVER_UNAVAILABLE
from amqtt.session import Session
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from devices.authentication import AuthenticationFailed, MqttConnect, authenticate
from transports.mqtt.broker.clients import Bridge, Client, KnownDevice, Provisioner
from transports.mqtt.broker.hub import Hub
from transports.mqtt.broker.wire import PacketReader

PROVISION = "provision"


class Refused(Exception):
    """This CONNECT is answered with `code`, a CONNACK return code of MQTT 3.1.1."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def admit(session: Session, reader: PacketReader, hub: Hub) -> Client:
    """Return the client that has sent the CONNECT behind `session`. Raises Refused."""
    client = await _identified(session, reader, hub)
    if session.will_flag and not client.may_publish(session.will_topic or ""):
        raise Refused(NOT_AUTHORIZED, "a will for a topic that it may not publish to")
    return client


async def _identified(session: Session, reader: PacketReader, hub: Hub) -> Client:
    name = (session.client_id or "") if reader.client_id_given else ""
    if _is_bridge(session):
        return _bridge(session, reader, hub)
    if PROVISION in (session.username, name):
        return Provisioner(hub, name=name, address=session.remote_address or "")
    shown = MqttConnect(client_id=name, username=session.username or "", password=session.password or "")
    try:
        device = await hub.database.run(authenticate, shown)
    except AuthenticationFailed as err:
        raise Refused(NOT_AUTHORIZED, str(err)) from None
    except (DatabaseError, InterfaceError) as err:
        raise Refused(SERVER_UNAVAILABLE, f"the database: {type(err).__name__}") from err
    return KnownDevice(hub, device, shown)


def _is_bridge(session: Session) -> bool:
    if session.username != settings.MQTT_BRIDGE_USERNAME:
        return False
    return hmac.compare_digest((session.password or "").encode(), settings.MQTT_BRIDGE_PASSWORD.encode())


def _bridge(session: Session, reader: PacketReader, hub: Hub) -> Bridge:
    asked = reader.properties
    if reader.level == 5:
        resume, kept_s = not asked.clean_start, float(asked.session_expiry_s)
    else:
        resume, kept_s = not session.clean_session, 0.0 if session.clean_session else math.inf
    return Bridge(hub, session.client_id or "", resume=resume, kept_s=kept_s, window=asked.receive_maximum)
