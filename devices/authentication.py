"""Who is it? The one place where a device's credentials are checked, whatever the transport."""

import hmac
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.connections import retry_stale_connection
from core.text import MAX_TEXT_LENGTH, has_control_characters
from devices.certificates import certificate_holder, certificate_prove
from devices.choices import CredentialsType
from devices.credentials import MqttBasic, mqtt_basic_id, username_id
from devices.models import Device, DeviceCredentials

# last_seen_at is written at most this often per device: a device that reports every second costs no write a second.
SEEN_INTERVAL = timedelta(minutes=1)


class AuthenticationFailed(Exception):
    """No device has these credentials, or it is blocked. The text never holds the credentials."""


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """An access token from a URL (HTTP, CoAP)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MqttConnect:
    """What an MQTT CONNECT packet carries; a part that is missing is empty."""

    client_id: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PresentedCertificate:
    """The client certificate of a TLS connection, whose handshake proved possession of its key, and the MQTT client id."""

    der: bytes = field(repr=False)
    client_id: str = field(repr=False, default="")


Presented = PresentedToken | MqttConnect | PresentedCertificate


def authenticate(presented: Presented) -> Device:
    """Return the device that has the credentials `presented`, with its profile. Raises AuthenticationFailed.

    Notes the first use, which ends the time in which a provisioning reply may be repeated, and that the device was seen.
    Source: docs/protocol.md, *With the credentials afterwards*.
    """
    credentials = retry_stale_connection(lambda: _find(presented))
    if credentials is None:
        raise AuthenticationFailed("No device has these credentials.")
    device = credentials.device
    if device.blocked:
        raise AuthenticationFailed(f"Device {device.pk} is blocked.")
    if credentials.certificate_claim and not certificate_prove(credentials=credentials):
        raise AuthenticationFailed(f"Device {device.pk} named a certificate that another device has.")
    note_seen(device)
    return device


def is_valid(presented: Presented) -> bool:
    """Return whether the credentials `presented` would still be accepted; nothing is noted."""
    credentials = retry_stale_connection(lambda: _find(presented))
    return credentials is not None and not credentials.device.blocked


def _find(presented: Presented) -> DeviceCredentials | None:
    match presented:
        case PresentedToken(token):
            found = _candidates(username_id(token)) if _fit(token) else []
            return next((row for row in found if row.type == CredentialsType.ACCESS_TOKEN), None)
        case PresentedCertificate(der, client_id):
            return certificate_holder(der, client_id=client_id)
        case MqttConnect():
            return _find_mqtt(presented)


def _find_mqtt(presented: MqttConnect) -> DeviceCredentials | None:
    """Return the credentials of a CONNECT: by client id and user name together, else by user name.

    The client id alone counts only without a user name. What is not text that credentials can have is ignored.
    """
    ids = []
    has_client_id = bool(presented.client_id) and _fit(presented.client_id)
    if presented.username and _fit(presented.username):
        if has_client_id:
            ids.append(mqtt_basic_id(client_id=presented.client_id, username=presented.username))
        ids.append(username_id(presented.username))
    elif has_client_id and not presented.username:
        ids.append(mqtt_basic_id(client_id=presented.client_id, username=""))
    found = {row.credentials_id: row for row in _candidates(*ids)}
    return next((found[one] for one in ids if one in found and _password_fits(found[one], presented.password)), None)


def _password_fits(row: DeviceCredentials, password: str) -> bool:
    credentials = row.unpacked()
    if isinstance(credentials, MqttBasic):
        stored = credentials.password.encode()
        # Where none is stored, any is accepted. The one from a CONNECT may be any bytes.
        return not stored or hmac.compare_digest(stored, password.encode(errors="surrogateescape"))
    return row.type == CredentialsType.ACCESS_TOKEN


def _candidates(*ids: str) -> list[DeviceCredentials]:
    if not ids:
        return []
    return list(DeviceCredentials.objects.filter(credentials_id__in=ids).select_related("device__profile"))


def _fit(*parts: str) -> bool:
    return all(len(part) <= MAX_TEXT_LENGTH and not has_control_characters(part) for part in parts)


def note_seen(device: Device) -> None:
    """Set when `device` was first used and last seen."""
    now = timezone.now()
    if device.first_used_at and device.last_seen_at and device.last_seen_at > now - SEEN_INTERVAL:
        return
    stale = Q(first_used_at=None) | Q(last_seen_at=None) | Q(last_seen_at__lte=now - SEEN_INTERVAL)
    Device.objects.filter(stale, pk=device.pk).update(last_seen_at=now, first_used_at=Coalesce(F("first_used_at"), now))
