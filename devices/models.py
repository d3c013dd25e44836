"""Devices, their credentials, attributes and latest telemetry."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from core.encryption import EncryptedTextField
from core.ids import new_id
from core.text import has_control_characters
from devices import credentials as rules
from devices.choices import CredentialsType
from profiles.choices import AttributeScope
from profiles.models import DeviceProfile, ProvisioningKey


class Device(models.Model):
    """One physical device, e.g. the DHT11 sensor with serial number 0001, "DHT11-0001".

    It is pre-provisioned while `provisioned_at` is empty: an operator added it, and it has not provisioned yet.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=255, unique=True)
    label = models.CharField(max_length=255, blank=True)
    description = models.TextField(blank=True)
    profile = models.ForeignKey(DeviceProfile, on_delete=models.PROTECT, related_name="devices")
    gateway = models.BooleanField(default=False, help_text="It may report for devices that have no connection of their own.")
    # Set, the device has no connection of its own, or not only: this gateway reports for it.
    parent_gateway = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children", limit_choices_to={"gateway": True}
    )
    blocked = models.BooleanField(default=False, help_text="A blocked device can neither provision nor authenticate.")

    provisioned_at = models.DateTimeField(null=True, blank=True, editable=False)
    provisioned_with = models.ForeignKey(
        ProvisioningKey, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="devices"
    )
    # The digest by which a repeated request is known again (provisioning/retries.py). Empty: nothing may be repeated.
    retry_id = models.CharField(max_length=64, blank=True, editable=False)
    first_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Why its last refused message was refused, for the operator.
    last_problem = models.CharField(max_length=255, blank=True, db_default="", editable=False)
    last_problem_at = models.DateTimeField(null=True, blank=True, editable=False)

    # The import that created it, so that it can be undone.
    import_job = models.ForeignKey(
        "imports.ImportJob", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="devices"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=~Q(name=""), name="device_name_not_empty"),
            models.CheckConstraint(
                condition=Q(parent_gateway=None) | ~Q(parent_gateway=models.F("id")), name="device_not_its_own_gateway"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if has_control_characters(self.name):
            raise ValidationError({"name": "The name has control characters."})
        if self.parent_gateway_id == self.pk:
            raise ValidationError({"parent_gateway": "A device cannot be its own gateway."})


class DeviceCredentials(models.Model):
    """What a device authenticates with, e.g. the access token of "DHT11-0001"."""

    device = models.OneToOneField(Device, primary_key=True, on_delete=models.CASCADE, related_name="credentials")
    type = models.CharField(max_length=16, choices=CredentialsType.choices)
    credentials_id = models.CharField(max_length=64, unique=True, editable=False)
    value = EncryptedTextField()
    generated = models.BooleanField(
        default=False, db_default=False, editable=False, help_text="Made by an import, not chosen by anyone."
    )
    # The credentials_id that a certificate has once the device proves, by a TLS connection, that it has the key. Until
    # then several devices may name the same certificate (devices/certificates.py).
    certificate_claim = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    # When an operator last downloaded or revealed them. What a device got itself is known by its `provisioned_at`.
    handed_out_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Provisioning was reset after they had been handed out: the next claim gets new ones.
    renew = models.BooleanField(default=False, db_default=False, editable=False)
    # The credentials_id of credentials that were taken away; the device may not choose them again.
    retired_id = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "device credentials"
        permissions = (("reveal_devicecredentials", "Can see device credentials"),)
        constraints = (models.CheckConstraint(condition=Q(type__in=CredentialsType.values), name="credentials_type_known"),)
        indexes = (
            models.Index(fields=("certificate_claim",), condition=~Q(certificate_claim=""), name="credentials_certificate_claim"),
        )

    def __str__(self) -> str:
        return f"{self.get_type_display()} of device {self.device_id}"

    def __repr__(self) -> str:
        return f"<DeviceCredentials of {self.device_id}>"

    def unpacked(self) -> rules.Credentials:
        """Return the stored credentials in the form that the rules work with."""
        return rules.from_stored(self.type, self.value)

    def set(self, credentials: rules.Credentials) -> None:
        """Take over `credentials`, which must be usable. The row is not saved."""
        self.type = credentials.type
        self.credentials_id = credentials.credentials_id
        self.certificate_claim = ""
        self.value = credentials.stored_value
        self.generated = False
        self.handed_out_at = None
        self.renew = False

    def claim(self, certificate: rules.X509Certificate) -> None:
        """Take over a certificate that the device has yet to prove. The row is not saved."""
        self.set(certificate)
        self.certificate_claim = certificate.credentials_id
        self.credentials_id = rules.certificate_claim_id(self.device_id, self.certificate_claim)

    def retire(self, successor: rules.Credentials) -> None:
        """Put `successor` in the place of the credentials, which are then never taken again. The row is not saved."""
        self.retired_id = self.certificate_claim or self.credentials_id
        self.set(successor)


class DeviceAttribute(models.Model):
    """One attribute of a device, e.g. provisionState = "provisioned" in the server scope."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # No index of its own: the unique constraint below begins with the device.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="attributes", db_index=False)
    scope = models.CharField(max_length=16, choices=AttributeScope.choices)
    key = models.CharField(max_length=255)
    value = models.JSONField()
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("scope", "key")
        constraints = (
            models.UniqueConstraint(fields=("device", "scope", "key"), name="attribute_once_per_device_and_scope"),
            models.CheckConstraint(condition=Q(scope__in=AttributeScope.values), name="attribute_scope_known"),
        )

    def __str__(self) -> str:
        return self.key


class LatestTelemetry(models.Model):
    """The newest value of one telemetry key of a device, e.g. temperature = 21.5."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # No index of its own: the unique constraint below begins with the device.
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="telemetry", db_index=False)
    key = models.CharField(max_length=255)
    value = models.JSONField()
    measured_at = models.DateTimeField()

    class Meta:
        ordering = ("key",)
        verbose_name_plural = "latest telemetry"
        constraints = (models.UniqueConstraint(fields=("device", "key"), name="telemetry_once_per_device_and_key"),)

    def __str__(self) -> str:
        return self.key
