"""What devices attempted."""

from django.db import models
from django.utils import timezone

from core.ids import new_id
from devices.models import Device
from profiles.models import DeviceProfile, ProvisioningKey
from provisioning.choices import ProvisionStatus, Reason, Transport


class ProvisionAttempt(models.Model):
    """One provision request that named a known key, and its outcome. It never holds a secret."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    transport = models.CharField(max_length=8, choices=Transport.choices)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    profile = models.ForeignKey(DeviceProfile, null=True, on_delete=models.SET_NULL, related_name="attempts")
    key = models.ForeignKey(ProvisioningKey, null=True, on_delete=models.SET_NULL, related_name="attempts")
    device_name = models.CharField(max_length=255, blank=True)
    device = models.ForeignKey(Device, null=True, on_delete=models.SET_NULL, related_name="attempts")
    outcome = models.CharField(max_length=16, choices=ProvisionStatus.choices)
    reason = models.CharField(max_length=32, choices=Reason.choices)
    detail = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            # The attempts page in its order, the dashboard's last day, and pruning by age.
            models.Index(fields=("created_at",), name="attempt_created_at"),
            # The failures of a name: they have no device. Partial, so that a device that provisions pays nothing for it.
            models.Index(
                fields=("device_name", "created_at"),
                name="attempt_failed_by_name",
                condition=~models.Q(outcome=ProvisionStatus.SUCCESS),
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_outcome_display()}: {self.get_reason_display()}"


class RejectedRequest(models.Model):
    """Requests of one minute and source that belong to no key: wrong guesses, and what could not be read.

    They are counted, not stored one by one, so that an attacker cannot fill the disk. Wrong secrets of a known key are
    counted here too, beside their attempts.
    """

    # "minute transport source reason key": one row for what is the same in all of them.
    bucket = models.CharField(primary_key=True, max_length=255, editable=False)
    minute = models.DateTimeField()
    transport = models.CharField(max_length=8, choices=Transport.choices)
    source = models.CharField(max_length=64, blank=True, help_text="IP address; for IPv6 the /64 network. Blank if unknown.")
    key = models.ForeignKey(ProvisioningKey, null=True, on_delete=models.CASCADE, related_name="wrong_guesses")
    reason = models.CharField(max_length=32, choices=Reason.choices)
    detail = models.CharField(max_length=255, blank=True, help_text="Of the last one.")
    count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("-minute",)
        verbose_name = "rejected request"
        indexes = (
            # Guesses of this minute, and pruning by age.
            models.Index(fields=("minute",), name="rejected_minute"),
        )

    def __str__(self) -> str:
        return f"{self.count} × {self.get_reason_display()}"


class GuessCount(models.Model):
    """Wrong guesses of one minute from one network, or for one key: what limits guessing (provisioning/rate_limits.py).

    Rows live for a minute or two. E.g. "tcp", "192.0.2.7", 43.
    """

    # "minute group what"
    bucket = models.CharField(primary_key=True, max_length=128, editable=False)
    minute = models.DateTimeField(db_index=True)
    group = models.CharField(max_length=16)
    what = models.CharField(max_length=64)
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.group} {self.what}: {self.count}"
