"""Choices of profiles, with their values on the wire (docs/protocol.md, *Strategies*)."""

from django.db import models


class Strategy(models.TextChoices):
    DISABLED = "DISABLED", "Disabled"
    ALLOW_CREATE = "ALLOW_CREATE_NEW_DEVICES", "Allow to create new devices"
    CHECK_PRE_PROVISIONED = "CHECK_PRE_PROVISIONED_DEVICES", "Check for pre-provisioned devices"


class SecretUse(models.TextChoices):
    """What devices present as the secret of a provisioning key."""

    SHARED = "SHARED", "Shared: every device presents the key's secret"
    DERIVED = "DERIVED", "Derived: each device presents a secret of its own, made from its name"


class AttributeScope(models.TextChoices):
    """Who may read or set an attribute of a device."""

    SERVER = "SERVER_SCOPE", "Server: only the server reads and sets it"
    SHARED = "SHARED_SCOPE", "Shared: the server sets it, the device reads it"
    CLIENT = "CLIENT_SCOPE", "Client: the device sets it"
