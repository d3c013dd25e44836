"""Checks before any device is read: are key and secret right, and does the profile allow the request?"""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from core.text import MAX_TEXT_LENGTH, has_control_characters
from devices.choices import CredentialsType
from devices.credentials import Credentials, InvalidCredentials, normalized
from profiles.choices import SecretUse, Strategy
from profiles.models import DeviceProfile, ProvisioningKey
from provisioning.choices import Reason
from provisioning.errors import NotFound, Refused
from provisioning.messages import ProvisionRequest
from provisioning.retries import generated_name, retry_id


@dataclass(frozen=True, slots=True)
class ValidRequest:
    """A request whose key, secret and options are valid. `credentials` are valid, or None if it has none."""

    request: ProvisionRequest
    key: ProvisioningKey
    name: str
    credentials: Credentials | None = field(repr=False)
    retry_id: str

    @property
    def profile(self) -> DeviceProfile:
        return self.key.profile

    @property
    def names_itself(self) -> bool:
        return self.request.device_name is not None


def validate(request: ProvisionRequest, key: ProvisioningKey | None, now: datetime) -> ValidRequest:
    """Return `request` with what follows from its profile. Raises NotFound or Refused."""
    live_key = _checked_key(request, key, now)
    profile = live_key.profile
    name = _checked_name(request.device_name, profile)
    if request.gateway and not profile.allow_gateways:
        raise Refused(Reason.GATEWAY_NOT_ALLOWED)
    credentials = _checked_credentials(request, profile)
    digest = retry_id(request, key_id=live_key.pk, name=name, credentials=credentials)
    if not name:
        if profile.strategy != Strategy.ALLOW_CREATE:
            raise Refused(Reason.NAME_MISSING)
        name = generated_name(digest)
    return ValidRequest(request, live_key, name, credentials, digest)


def _checked_key(request: ProvisionRequest, key: ProvisioningKey | None, now: datetime) -> ProvisioningKey:
    if not request.key or not request.secret:
        raise NotFound(Reason.KEY_EMPTY)
    if key is None:
        raise NotFound(Reason.KEY_UNKNOWN)
    _check_secret(request, key)
    if key.revoked_at:
        raise NotFound(Reason.KEY_REVOKED)
    if key.is_expired(now):
        raise NotFound(Reason.KEY_EXPIRED)
    if key.profile.strategy == Strategy.DISABLED:
        raise NotFound(Reason.PROFILE_DISABLED)
    return key


def _check_secret(request: ProvisionRequest, key: ProvisioningKey) -> None:
    # Constant time, so that response times reveal nothing about the secret. surrogatepass: JSON can carry lone surrogates.
    presented = request.secret.encode("utf-8", "surrogatepass")
    name = (request.device_name or "").strip()
    is_derived = key.secret_use == SecretUse.DERIVED
    if is_derived and (not name or hmac.compare_digest(presented, key.secret.encode())):
        raise NotFound(Reason.SECRET_NOT_DERIVED)
    if not hmac.compare_digest(presented, key.secret_for(name).encode()):
        raise NotFound(Reason.SECRET_WRONG)


def _checked_name(device_name: str | None, profile: DeviceProfile) -> str:
    """Return the trimmed name, "" where the request has none."""
    if device_name is None:
        return ""
    name = device_name.strip()
    if not name:
        raise Refused(Reason.NAME_UNUSABLE, "The device name is blank.")
    if len(name) > MAX_TEXT_LENGTH:
        raise Refused(Reason.NAME_UNUSABLE, f"The device name has {len(name)} characters; {MAX_TEXT_LENGTH} is the limit.")
    if has_control_characters(name):
        raise Refused(Reason.NAME_UNUSABLE, "The device name has control characters.")
    if profile.name_pattern and not fnmatchcase(name, profile.name_pattern):
        raise Refused(Reason.NAME_NOT_ALLOWED, f"The device name does not match {profile.name_pattern}."[:MAX_TEXT_LENGTH])
    return name


def _checked_credentials(request: ProvisionRequest, profile: DeviceProfile) -> Credentials | None:
    if request.lwm2m:
        raise Refused(Reason.CREDENTIALS_UNSUPPORTED)
    if request.credentials is None:
        return None
    if profile.strategy == Strategy.CHECK_PRE_PROVISIONED and not profile.allow_own_credentials:
        return None  # docs/protocol.md, *Strategies*: supplied ones are ignored
    if not _allows(profile, request.credentials):
        raise Refused(Reason.CREDENTIALS_NOT_ALLOWED)
    try:
        return normalized(request.credentials, min_token_length=profile.min_token_length)
    except InvalidCredentials as err:
        raise Refused(Reason.CREDENTIALS_UNUSABLE, str(err)) from err


def _allows(profile: DeviceProfile, credentials: Credentials) -> bool:
    return {
        CredentialsType.ACCESS_TOKEN: profile.allow_access_token,
        CredentialsType.MQTT_BASIC: profile.allow_mqtt_basic,
        CredentialsType.X509_CERTIFICATE: profile.allow_x509,
    }[credentials.type]
