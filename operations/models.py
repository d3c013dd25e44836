"""Which processes are alive, and the status that each reports."""

from django.db import models
from django.utils import timezone

from operations.choices import Process


class Heartbeat(models.Model):
    """A running process, e.g. the MQTT bridge on host "edge-1". It updates its row every few seconds.

    A row older than `operations.heartbeat.STALE` belongs to a process that died.
    """

    instance = models.CharField(primary_key=True, max_length=255, editable=False)
    process = models.CharField(max_length=16, choices=Process.choices)
    ready = models.BooleanField(default=False)
    note = models.CharField(
        max_length=255, blank=True, help_text="Status reported by the process, e.g. which broker it is connected to."
    )
    beat_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("process", "instance")
        verbose_name = "process"
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.get_process_display()} {self.instance}"


class Lease(models.Model):
    """Work that one process at a time does, and which one does it now, e.g. the bridge on "edge-1" serves the broker."""

    name = models.CharField(primary_key=True, max_length=64)
    holder = models.CharField(max_length=255, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return f"{self.name}: {self.holder or 'free'}"
