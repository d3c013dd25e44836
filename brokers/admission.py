"""Who may connect to the operator's broker, as whom, and what it may do there. The one decision, whatever the broker."""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from django.conf import settings

from brokers import sessions
from brokers.models import Broker
from brokers.services import has_secret
from brokers.topics import Action, TopicRule, bridge_rules, device_rules, is_allowed, is_level, provisioning_rules
from devices.authentication import AuthenticationFailed, MqttConnect, PresentedCertificate
from devices.credentials import RESERVED_NAME
from devices.models import Device
from provisioning.choices import Transport
from provisioning.login_limits import LoginLimited, authenticate


class Role(StrEnum):
    BRIDGE = "bridge"
    PROVISIONING = "provisioning"
    DEVICE = "device"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class BrokerConnect:
    """A client that wants to connect to a broker, as the broker describes it; what it does not report is empty.

    `certificate`: the client's, in DER form, if the broker has verified it in the TLS handshake.
    """

    client_id: str = field(repr=False, default="")
    username: str = field(repr=False, default="")
    password: str = field(repr=False, default="")
    address: str = ""
    certificate: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class Admission:
    """The result of a connect. `reason` is for the operator only. `until`: the broker should ask again after that time."""

    allowed: bool
    reason: str
    role: Role | None = None
    device: Device | None = None
    rules: tuple[TopicRule, ...] = ()
    until: datetime | None = None


def admit(broker: Broker, connect: BrokerConnect, *, isolated: bool) -> Admission:
    """Decide whether a client may connect to `broker`. Notes a device's first and last use. Raises django.db.Error.

    `isolated`: this kind of broker keeps clients apart on one and the same topic.
    """
    if connect.username == settings.MQTT_BRIDGE_USERNAME:
        if not has_secret(broker, connect.password):
            return Admission(allowed=False, reason="A client calls itself the bridge and does not have this broker's secret.")
        return Admission(allowed=True, reason="", role=Role.BRIDGE, rules=bridge_rules())
    if is_provisioning(connect.client_id, connect.username):
        return _admit_provisioning(connect, isolated=isolated)
    return _admit_device(broker, connect, isolated=isolated)


def authorize(broker: Broker, connect: BrokerConnect, action: Action, topic: str, *, isolated: bool) -> Admission:
    """Decide whether a client that was admitted may do `action` on `topic`. Raises django.db.Error."""
    admission = _admitted(broker, connect, isolated=isolated)
    if not admission.allowed or is_allowed(admission.rules, action, topic) or admission.role == Role.BRIDGE:
        return admission
    who = admission.device or "A client that provisions"
    return Admission(allowed=False, reason=f"{who} may not {action} here.", role=admission.role, device=admission.device)


def is_provisioning(client_id: str, username: str) -> bool:
    """Return whether a client connects in order to provision (docs/protocol.md, *MQTT*)."""
    return RESERVED_NAME in (username, client_id)


def _admit_provisioning(connect: BrokerConnect, *, isolated: bool) -> Admission:
    if isolated and not is_level(connect.client_id):
        return Admission(allowed=False, reason="The client id of a client that provisions has / + # or ${, or is empty.")
    rules = provisioning_rules(connect.client_id, isolated=isolated)
    return Admission(allowed=True, reason="", role=Role.PROVISIONING, rules=rules)


def _admit_device(broker: Broker, connect: BrokerConnect, *, isolated: bool) -> Admission:
    try:
        device = _authenticated(connect)
    except LoginLimited as err:
        return Admission(allowed=False, reason=f"{err} Checked again in {err.retry_after_s} s.")
    except AuthenticationFailed as err:
        return Admission(allowed=False, reason=str(err))
    sessions.note(broker, connect.client_id, device)
    return _device_admission(device, connect.client_id, isolated=isolated)


def _authenticated(connect: BrokerConnect) -> Device:
    if connect.certificate:
        try:
            return authenticate(PresentedCertificate(connect.certificate, connect.client_id), Transport.MQTT, connect.address)
        except AuthenticationFailed:
            # A device may have a certificate of the operator's CA for TLS alone, and a token to say who it is.
            if not connect.username:
                raise
    presented = MqttConnect(client_id=connect.client_id, username=connect.username, password=connect.password)
    return authenticate(presented, Transport.MQTT, connect.address)


def _admitted(broker: Broker, connect: BrokerConnect, *, isolated: bool) -> Admission:
    """Return the admission of a client that the broker has let in. Its user name was checked when it connected."""
    if hmac.compare_digest(connect.username.encode(errors="replace"), settings.MQTT_BRIDGE_USERNAME.encode()):
        return Admission(allowed=True, reason="", role=Role.BRIDGE, rules=bridge_rules())
    if is_provisioning(connect.client_id, connect.username):
        return _admit_provisioning(connect, isolated=isolated)
    device = sessions.device_of(broker, connect.client_id)
    if device is None:
        return Admission(allowed=False, reason="No device was admitted with this client id.")
    if device.blocked:
        return Admission(allowed=False, reason=f"Device {device.pk} is blocked.", device=device)
    return _device_admission(device, connect.client_id, isolated=isolated)


def _device_admission(device: Device, client_id: str, *, isolated: bool) -> Admission:
    role = Role.GATEWAY if device.gateway else Role.DEVICE
    return Admission(True, "", role, device, device_rules(device, client_id, isolated=isolated))
