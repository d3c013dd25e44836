"""MQTT brokers of the operator."""

from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from brokers.choices import BrokerKind
from brokers.replica.models import ReplicaDigest
from core.encryption import EncryptedTextField
from core.ids import new_id
from core.text import has_control_characters

__all__ = ["Broker", "BrokerDenial", "BrokerKick", "BrokerSession", "ReplicaDigest"]


class Broker(models.Model):
    """An MQTT broker that asks Firstlight who may connect, e.g. the EMQX cluster "plant 7".

    Its calls carry `secret`, and the bridge logs in to it as user `bridge` with the same secret.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=255, unique=True)
    kind = models.CharField(max_length=16, choices=BrokerKind.choices)
    # Encrypted, because the replica's digests and the configuration text need it; hashed, so that a call costs no decryption.
    secret = EncryptedTextField(editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)

    mqtt_url = models.CharField(
        "MQTT address",
        blank=True,
        max_length=255,
        help_text="Where devices connect, e.g. mqtt://10.0.0.5:1883 or mqtts://broker.example.com. Needed for tests.",
    )
    management_url = models.CharField(
        "management API",
        blank=True,
        max_length=255,
        help_text="Address of the broker's HTTP API, by which sessions are ended, e.g. http://10.0.0.5:15672.",
    )
    management_user = models.CharField(max_length=255, blank=True, help_text="User name or API key for that API.")
    management_password = EncryptedTextField(blank=True, default="", help_text="Password or API secret for that API.")

    # What the last check with made-up credentials found (brokers/checks.py); None: not checked.
    admits_anyone = models.BooleanField(null=True, editable=False)
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=BrokerKind.values), name="broker_kind_known"),
            models.CheckConstraint(condition=~Q(name=""), name="broker_name_not_empty"),
        )

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Broker {self.pk}>"

    def clean(self) -> None:
        super().clean()
        if has_control_characters(self.name):
            raise ValidationError({"name": "The name has control characters."})
        for field, schemes in (("mqtt_url", ("mqtt", "mqtts")), ("management_url", ("http", "https"))):
            if problem := url_problem(getattr(self, field), schemes):
                raise ValidationError({field: problem})


class BrokerSession(models.Model):
    """A client id under which a device was last admitted, so that its session can be ended.

    The device is no foreign key: the row outlives it.
    """

    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, related_name="sessions", db_index=False)
    client_id = models.CharField(max_length=255)
    device_id = models.UUIDField(db_index=True)
    admitted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-admitted_at",)
        constraints = (models.UniqueConstraint(fields=("broker", "client_id"), name="broker_session_client_id_once"),)

    def __str__(self) -> str:
        return f"session of device {self.device_id}"


class BrokerDenial(models.Model):
    """A call of a broker that was answered with a denial, and why, e.g. "Device DHT11-0001 is blocked". The last are kept."""

    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, related_name="denials")
    created_at = models.DateTimeField(default=timezone.now)
    call = models.CharField(max_length=32, help_text="The broker's request, e.g. connect or publish.")
    client_id = models.CharField(max_length=255, blank=True)
    address = models.CharField(max_length=64, blank=True)
    topic = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=255)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.reason


class BrokerKick(models.Model):
    """A session that a broker must end, e.g. because its device was blocked; tried again until it succeeds or is given up."""

    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, related_name="kicks")
    client_id = models.CharField(max_length=255)
    device_id = models.UUIDField()
    created_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True, db_index=True, help_text="Blank: done or given up.")
    done_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=255, blank=True, help_text="Why the last try failed.")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"kick of {self.client_id}"


def url_problem(url: str, schemes: tuple[str, ...]) -> str:
    """Return what is wrong with `url`, "" if nothing is or it is blank. It needs a host and one of `schemes`, and no password."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        return f"It must look like {schemes[0]}://host:port."
    return "User name and password have fields of their own." if "@" in parts.netloc else ""
