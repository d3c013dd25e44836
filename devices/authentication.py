"""Who is it? The one place where a device's credentials are checked, whatever the transport."""

import hmac
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.connections import from_row, prepared_rows, retry_stale_connection
from core.encryption import decrypt
from core.text import MAX_TEXT_LENGTH, has_control_characters
from devices.certificates import certificate_holder, certificate_prove
from devices.choices import CredentialsType
from devices.credentials import MqttBasic, from_stored, mqtt_basic_id, username_id
from devices.models import Device, DeviceCredentials
from profiles.models import DeviceProfile

# last_seen_at is written at most this often per device: a device that reports every second costs no write a second.
SEEN_INTERVAL = timedelta(minutes=1)

# By hand: every message over HTTP or CoAP and every connection asks this, and making the same statement with the ORM takes
# five times as long as the database does. A token is known by its id, so only what has a password needs decryption.
_COLUMNS = ", ".join(f"devices_device.{field.column}" for field in Device._meta.concrete_fields)
_BY_ID = f"""SELECT {_COLUMNS},
           profiles_deviceprofile.name, profiles_deviceprofile.topic_pattern,
           credentials_id, type, CASE WHEN type = '{CredentialsType.MQTT_BASIC.value}' THEN value END
    FROM devices_devicecredentials
    JOIN devices_device ON devices_device.id = device_id
    JOIN profiles_deviceprofile ON profiles_deviceprofile.id = profile_id
    WHERE credentials_id IN (%s, %s)"""  # noqa: S608 - names of our own models


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


@dataclass(frozen=True, slots=True)
class _Found:
    """Credentials that may be what was presented, and their device. `claim`: a certificate that was not proved before."""

    device: Device
    credentials_id: str
    type: str
    encrypted: str | None = field(repr=False, default=None)
    claim: DeviceCredentials | None = None


def authenticate(presented: Presented) -> Device:
    """Return the device that has the credentials `presented`, with its profile. Raises AuthenticationFailed.

    Notes the first use, which ends the time in which a provisioning reply may be repeated, and that the device was seen.
    Source: docs/protocol.md, *With the credentials afterwards*.
    """
    found = retry_stale_connection(lambda: _find(presented))
    if found is None:
        raise AuthenticationFailed("No device has these credentials.")
    device = found.device
    if device.blocked:
        raise AuthenticationFailed(f"Device {device.pk} is blocked.")
    if found.claim and not certificate_prove(credentials=found.claim):
        raise AuthenticationFailed(f"Device {device.pk} named a certificate that another device has.")
    note_seen(device)
    return device


def is_valid(presented: Presented) -> bool:
    """Return whether the credentials `presented` would still be accepted; nothing is noted."""
    found = retry_stale_connection(lambda: _find(presented))
    return found is not None and not found.device.blocked


def _find(presented: Presented) -> _Found | None:
    match presented:
        case PresentedToken(token):
            candidates = _candidates(username_id(token)) if _fit(token) else []
            return next((one for one in candidates if one.type == CredentialsType.ACCESS_TOKEN), None)
        case PresentedCertificate(der, client_id):
            row = certificate_holder(der, client_id=client_id)
            if row is None:
                return None
            return _Found(row.device, row.credentials_id, row.type, claim=row if row.certificate_claim else None)
        case MqttConnect():
            return _find_mqtt(presented)


def _find_mqtt(presented: MqttConnect) -> _Found | None:
    """Return whose credentials a CONNECT has: by client id and user name together, else by user name.

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
    found = {one.credentials_id: one for one in _candidates(*ids)}
    return next((found[one] for one in ids if one in found and _password_fits(found[one], presented.password)), None)


def _password_fits(found: _Found, password: str) -> bool:
    if not found.encrypted:
        return found.type == CredentialsType.ACCESS_TOKEN
    credentials = from_stored(found.type, decrypt(found.encrypted))
    assert isinstance(credentials, MqttBasic)
    stored = credentials.password.encode()
    # Where none is stored, any is accepted. The one from a CONNECT may be any bytes.
    return not stored or hmac.compare_digest(stored, password.encode(errors="surrogateescape"))


def _candidates(*ids: str) -> list[_Found]:
    """Return the credentials with these lookup ids, of which there are two at most."""
    if not ids:
        return []
    found = []
    for row in prepared_rows(_BY_ID, [ids[0], ids[-1]]):
        device = from_row(Device, row)
        profile_name, topic_pattern, credentials_id, kind, encrypted = row[-5:]
        # The other fields of the profile are read when somebody asks for them.
        profile = (device.profile_id, profile_name, topic_pattern)
        device.profile = DeviceProfile.from_db(connection.alias, ("id", "name", "topic_pattern"), profile)
        found.append(_Found(device, credentials_id, kind, encrypted))
    return found


def _fit(*parts: str) -> bool:
    return all(len(part) <= MAX_TEXT_LENGTH and not has_control_characters(part) for part in parts)


def note_seen(device: Device) -> None:
    """Set when `device` was first used and last seen."""
    now = timezone.now()
    if device.first_used_at and device.last_seen_at and device.last_seen_at > now - SEEN_INTERVAL:
        return
    stale = Q(first_used_at=None) | Q(last_seen_at=None) | Q(last_seen_at__lte=now - SEEN_INTERVAL)
    Device.objects.filter(stale, pk=device.pk).update(last_seen_at=now, first_used_at=Coalesce(F("first_used_at"), now))
