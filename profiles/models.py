"""Device profiles and their provisioning keys."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from core.encryption import EncryptedTextField
from core.ids import new_id
from core.json_values import json_problem
from core.text import MAX_TEXT_LENGTH, has_control_characters
from profiles.choices import AttributeScope, SecretUse, Strategy
from profiles.device_secrets import device_secret
from profiles.topic_patterns import topic_pattern_problem


class DeviceProfile(models.Model):
    """A device model or production batch and the rules by which its devices provision, e.g. "DHT11 sensor, 2026"."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=255, unique=True)
    description = models.TextField(blank=True)
    strategy = models.CharField(max_length=32, choices=Strategy.choices, default=Strategy.DISABLED)

    allow_access_token = models.BooleanField(default=True, help_text="Devices may choose their own access token.")
    allow_mqtt_basic = models.BooleanField(
        default=True, help_text="Devices may choose their own MQTT client id, user name and password."
    )
    allow_x509 = models.BooleanField(default=True, help_text="Devices may supply an X.509 certificate.")
    allow_own_credentials = models.BooleanField(
        default=False,
        help_text="Pre-provisioned devices may supply their own credentials instead of the stored ones.",
    )
    allow_gateways = models.BooleanField(default=True, help_text="Devices may provision as gateways.")
    allow_gateway_children = models.BooleanField(
        "gateways may create devices",
        default=True,
        help_text="Gateways may create the devices that they report for. Otherwise an operator creates and attaches them.",
    )
    max_gateway_children = models.PositiveIntegerField(
        "devices per gateway", default=1000, help_text="A gateway with this many devices creates no more."
    )
    name_pattern = models.CharField(
        max_length=255,
        blank=True,
        help_text="Allowed device names, with * and ? as wildcards, e.g. DHT11-*. Leave blank to allow any name.",
    )
    min_token_length = models.PositiveSmallIntegerField(
        default=8, help_text="Minimum number of characters of a token that a device chooses."
    )
    retry_window_s = models.PositiveIntegerField(
        "retry window",
        default=0,
        help_text="Seconds during which a device may repeat the same request, until its credentials are first used. 0 = never.",
    )
    topic_pattern = models.CharField(
        max_length=255,
        blank=True,
        help_text=(
            "MQTT topics on your own broker that a device may use besides the device API, e.g. plant/{device_name}/#. "
            "Placeholders: {device_id}, {device_name}, {client_id}, {profile}. Blank: none."
        ),
    )
    default_attributes = models.JSONField(
        default=list, blank=True, help_text='Attributes of every new device: [{"key": …, "value": …, "scope": "SERVER_SCOPE"}].'
    )

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=Q(strategy__in=Strategy.values), name="profile_strategy_known"),
            models.CheckConstraint(condition=~Q(name=""), name="profile_name_not_empty"),
            models.CheckConstraint(condition=Q(min_token_length__range=(1, 255)), name="profile_min_token_length_range"),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if has_control_characters(self.name):
            raise ValidationError({"name": "The name has control characters."})
        if problem := topic_pattern_problem(self.topic_pattern):
            raise ValidationError({"topic_pattern": problem})
        validate_default_attributes(self.default_attributes)


class ProvisioningKey(models.Model):
    """A key and secret that devices of one profile present to provision, e.g. "factory A, spring".

    A profile may have several at once, so that rotation can overlap and a leaked key can be revoked on its own.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    profile = models.ForeignKey(DeviceProfile, on_delete=models.CASCADE, related_name="keys")
    key = models.CharField("provision device key", max_length=255, unique=True)
    secret = EncryptedTextField("provision device secret")
    secret_use = models.CharField(max_length=16, choices=SecretUse.choices, default=SecretUse.SHARED)
    label = models.CharField(max_length=255, blank=True, help_text="What this key is for, e.g. a factory or a batch.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="The key is refused from this time on. Leave blank for no expiry."
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    use_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Maximum number of devices. Leave blank for no limit."
    )
    # Counted only with a use limit, because counting locks the row. Without one, devices are counted.
    uses = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "provisioning key"
        permissions = (("reveal_provisioningkey", "Can see provisioning keys and secrets"),)
        constraints = (
            models.CheckConstraint(condition=~Q(key=""), name="provisioning_key_not_empty"),
            models.CheckConstraint(condition=Q(secret_use__in=SecretUse.values), name="provisioning_key_secret_use_known"),
            models.CheckConstraint(
                condition=Q(use_limit=None) | Q(uses__lte=models.F("use_limit")), name="provisioning_key_uses_within_limit"
            ),
        )

    def __str__(self) -> str:
        return self.label or f"key of {self.created_at:%Y-%m-%d}"

    def __repr__(self) -> str:
        return f"<ProvisioningKey {self.pk}>"

    def secret_for(self, device_name: str) -> str:
        """Return what the device `device_name` presents as the secret."""
        return device_secret(self.secret, device_name) if self.secret_use == SecretUse.DERIVED else self.secret

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    @property
    def is_used_up(self) -> bool:
        return self.use_limit is not None and self.uses >= self.use_limit


def validate_default_attributes(value: Any) -> None:
    """Raise ValidationError unless `value` is a list of `{"key": text, "value": any, "scope": AttributeScope}`."""
    if not isinstance(value, list):
        raise ValidationError({"default_attributes": "A list of attributes is needed."})
    seen = set()
    for entry in value:
        if not isinstance(entry, dict) or set(entry) != {"key", "value", "scope"}:
            raise ValidationError({"default_attributes": "Each attribute needs exactly a key, a value and a scope."})
        key, scope = entry["key"], entry["scope"]
        if not isinstance(key, str) or not key.strip() or len(key) > MAX_TEXT_LENGTH or has_control_characters(key):
            raise ValidationError(
                {"default_attributes": f"An attribute's key needs 1 to {MAX_TEXT_LENGTH} characters, without control characters."}
            )
        if problem := json_problem(entry["value"]):
            raise ValidationError({"default_attributes": f"The value of {key!r} cannot be stored: {problem}"})
        if scope not in AttributeScope.values:
            raise ValidationError(
                {"default_attributes": f"The scope of {key!r} must be one of {', '.join(AttributeScope.values)}."}
            )
        if (key, scope) in seen:
            raise ValidationError({"default_attributes": f"{key!r} occurs twice in {scope}."})
        seen.add((key, scope))
