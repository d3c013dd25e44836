"""The outcomes of a provision request: as sent to the device, and as stored for the operator."""

from django.db import models


class ProvisionStatus(models.TextChoices):
    """The status in the reply to the device (docs/protocol.md, *Response*)."""

    SUCCESS = "SUCCESS", "Success"
    NOT_FOUND = "NOT_FOUND", "Not found"
    FAILURE = "FAILURE", "Failure"


class Transport(models.TextChoices):
    HTTP = "HTTP", "HTTP"
    MQTT = "MQTT", "MQTT"
    COAP = "COAP", "CoAP"


class Reason(models.TextChoices):
    """The exact reason, for operators."""

    CREATED = "CREATED", "A new device was created."
    CLAIMED = "CLAIMED", "The pre-provisioned device was provisioned."
    REPEATED = "REPEATED", "The same request came again before the credentials were used; it got the same answer."

    MALFORMED = "MALFORMED", "The request could not be read."
    KEY_EMPTY = "KEY_EMPTY", "The provision key or secret is empty."
    KEY_UNKNOWN = "KEY_UNKNOWN", "No profile has this provision key."
    SECRET_WRONG = "SECRET_WRONG", "The provision secret is wrong."
    SECRET_NOT_DERIVED = (
        "SECRET_NOT_DERIVED",
        "With this key a device presents a secret derived from its name; it sent the key's own secret, or no name.",
    )
    KEY_REVOKED = "KEY_REVOKED", "The provision key has been revoked."
    KEY_EXPIRED = "KEY_EXPIRED", "The provision key has expired."
    KEY_USED_UP = "KEY_USED_UP", "The provision key has reached its use limit."
    PROFILE_DISABLED = "PROFILE_DISABLED", "The profile's provision strategy is Disabled."

    NAME_MISSING = "NAME_MISSING", "The request names no device, and the strategy needs a name."
    NAME_UNUSABLE = "NAME_UNUSABLE", "The device name is blank, too long or has control characters."
    NAME_NOT_ALLOWED = "NAME_NOT_ALLOWED", "The device name does not match the profile's name pattern."
    NAME_TAKEN = "NAME_TAKEN", "A device with this name already exists."
    DEVICE_UNKNOWN = "DEVICE_UNKNOWN", "No device of this name has been pre-provisioned."
    DEVICE_IN_OTHER_PROFILE = "DEVICE_IN_OTHER_PROFILE", "The device belongs to another profile."
    DEVICE_BLOCKED = "DEVICE_BLOCKED", "The device is blocked."
    ALREADY_PROVISIONED = "ALREADY_PROVISIONED", "The device has been provisioned already."
    SECOND_DEVICE = "SECOND_DEVICE", "The device has been provisioned already; a second device may be using this identity."
    GATEWAY_NOT_ALLOWED = "GATEWAY_NOT_ALLOWED", "The profile does not allow gateways."
    CREDENTIALS_NOT_ALLOWED = "CREDENTIALS_NOT_ALLOWED", "The profile does not allow devices to supply this type of credentials."
    CREDENTIALS_UNSUPPORTED = "CREDENTIALS_UNSUPPORTED", "LwM2M credentials are not supported."
    CREDENTIALS_UNUSABLE = "CREDENTIALS_UNUSABLE", "The supplied credentials are not usable."
    CREDENTIALS_TAKEN = "CREDENTIALS_TAKEN", "The supplied credentials belong to another device."
    CREDENTIALS_SPENT = "CREDENTIALS_SPENT", "The supplied credentials are those from before the device was reset or replaced."

    TOO_MANY_GUESSES = "TOO_MANY_GUESSES", "Too many requests with a wrong key or secret."
    INTERNAL_ERROR = "INTERNAL_ERROR", "An error of the server; its log has the details."
    UNAVAILABLE = "UNAVAILABLE", "The database did not answer in time; the device should try again."
