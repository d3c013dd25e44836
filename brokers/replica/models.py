"""Digests that are kept."""

from django.db import models


class ReplicaDigest(models.Model):
    """A device's credentials as one broker's plugin compares them, e.g. the digest of the token of "DHT11-0001".

    Kept because the first snapshot of a broker decrypts every credential; the next ones only those that have changed.
    The device is no foreign key: deleting a million devices need not look here.
    """

    broker = models.ForeignKey("brokers.Broker", on_delete=models.CASCADE, related_name="+", db_index=False)
    device_id = models.UUIDField()
    mark = models.IntegerField(help_text="Which key it was made with.")
    credentials_at = models.DateTimeField(help_text="When the credentials had last been changed.")
    lookup = models.CharField(max_length=32)
    password = models.CharField(max_length=32, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("broker", "device_id"), name="replica_digest_once_per_device"),)

    def __str__(self) -> str:
        return f"digest of device {self.device_id}"
