"""The event log and its readers' positions."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from events.choices import Kind


class Event(models.Model):
    """Something others must learn of, e.g. "device 0192… was blocked". Append-only; ids and what changed, never a secret.

    No foreign keys: an event outlives the device it is about. On PostgreSQL the table has one more column, which only
    the database writes: `transaction_id`, by which readers order (events/postgres.py, migration 0001).
    """

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=32, choices=Kind.choices)
    device_id = models.UUIDField(null=True, blank=True)
    profile_id = models.UUIDField(null=True, blank=True)
    data = models.JSONField(default=dict, blank=True, help_text='What changed, e.g. {"keys": ["interval"]}.')

    class Meta:
        ordering = ("id",)
        constraints = (models.CheckConstraint(condition=Q(kind__in=Kind.values), name="event_kind_known"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.pk})"


class ReaderPosition(models.Model):
    """How far a reader that survives restarts has come, e.g. "webhooks". Events are kept until every such reader is past them."""

    name = models.CharField(primary_key=True, max_length=64)
    position = models.TextField(blank=True, help_text="Blank: the reader has to start from a snapshot.")
    moved_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PruneMark(models.Model):
    """The newest event ever pruned, in one row: on PostgreSQL, a reader that has not come so far has missed something.

    `pruned` is a transaction id there, and an event id on SQLite.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    pruned = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="prune_mark_is_one_row"),)

    def __str__(self) -> str:
        return f"pruned up to {self.pruned}"
