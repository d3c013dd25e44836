"""Imports of lists of devices: the job, its file, and the results of single rows."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from core.encryption import EncryptedBinaryField, EncryptedTextField
from core.ids import new_id
from imports.choices import ImportSource, ImportState, Verdict
from imports.columns import Column, ColumnType
from imports.csv.file_format import FileFormat
from profiles.models import DeviceProfile


class ImportJob(models.Model):
    """One import of one file, e.g. "batch-17.csv" with 10,000 sensors, uploaded by Ada on Monday.

    The process that runs it sets `runner` and updates `beat_at`. Every chunk of rows is committed together with the
    progress of the job, so another process can continue from there.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # PROTECT would keep a profile forever because of an old import.
    profile = models.ForeignKey(
        DeviceProfile, null=True, blank=True, on_delete=models.SET_NULL, help_text="For rows that name no profile."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    source = models.CharField(max_length=16, choices=ImportSource.choices, editable=False)

    file_name = models.CharField(max_length=255, editable=False)
    size_bytes = models.BigIntegerField(default=0, editable=False)
    encoding = models.CharField(max_length=16)
    delimiter = models.CharField(max_length=1)
    header = models.BooleanField("first line contains column names", default=True)
    headers = models.JSONField(default=list, editable=False)
    columns = models.JSONField(default=list, editable=False)
    update = models.BooleanField("update existing devices", default=False)
    dry_run = models.BooleanField(default=False, editable=False)

    state = models.CharField(max_length=16, choices=ImportState.choices, default=ImportState.DRAFT, editable=False)
    problem = models.TextField(blank=True, editable=False)
    runner = models.CharField(max_length=255, blank=True, editable=False)
    beat_at = models.DateTimeField(default=timezone.now, editable=False)
    done_lines = models.BigIntegerField(default=0, editable=False)
    done_bytes = models.BigIntegerField(default=0, editable=False)
    created = models.PositiveIntegerField(default=0, editable=False)
    updated = models.PositiveIntegerField(default=0, editable=False)
    unchanged = models.PositiveIntegerField(default=0, editable=False)
    errors = models.PositiveIntegerField(default=0, editable=False)
    undone = models.PositiveIntegerField(default=0, editable=False)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "import"
        constraints = (
            models.CheckConstraint(condition=Q(state__in=ImportState.values), name="import_state_known"),
            models.CheckConstraint(condition=Q(source__in=ImportSource.values), name="import_source_known"),
        )

    def __str__(self) -> str:
        return f"{self.file_name} of {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def form(self) -> FileFormat:
        return FileFormat(self.encoding, self.delimiter, self.header)

    @property
    def column_list(self) -> list[Column]:
        return [Column(ColumnType(entry["type"]), entry.get("key", "")) for entry in self.columns]

    @property
    def rows(self) -> int:
        """Number of processed rows."""
        return self.created + self.updated + self.unchanged + self.errors

    @property
    def percent(self) -> int:
        """Processed part of the file, 0 to 100."""
        if self.state in (ImportState.DONE, ImportState.UNDOING, ImportState.UNDONE):
            return 100
        return min(99, 100 * self.done_bytes // self.size_bytes) if self.size_bytes else 0

    @property
    def can_be_set_up(self) -> bool:
        """Whether it can still be imported: a draft, or a dry run that has ended."""
        ended = (ImportState.DONE, ImportState.CANCELLED, ImportState.FAILED)
        return self.state == ImportState.DRAFT or (self.dry_run and self.state in ended)

    @property
    def can_be_undone(self) -> bool:
        return self.state in (ImportState.DONE, ImportState.CANCELLED, ImportState.FAILED)

    @property
    def progress(self) -> str:
        """A sentence on its progress."""
        if self.state == ImportState.QUEUED:
            return "Waiting for the task worker."
        if self.state == ImportState.UNDOING:
            return f"{self.undone:,} devices deleted."
        left = self.seconds_left
        time = "" if left is None else f", about {left // 60} min {left % 60} s left" if left >= 60 else f", about {left} s left"
        return f"{self.rows:,} rows, {self.percent} %{time}."

    @property
    def seconds_left(self) -> int | None:
        """How long it will take at the speed so far; None if unknown."""
        if self.state != ImportState.RUNNING or not self.started_at or not self.done_bytes:
            return None
        elapsed_s = (self.beat_at - self.started_at).total_seconds()
        return round(elapsed_s * max(0, self.size_bytes - self.done_bytes) / self.done_bytes)


class ImportFilePart(models.Model):
    """A part of an uploaded file, compressed, and encrypted since it contains secrets. Deleted when no longer needed.

    It is in the database because every process on every host can read it there.
    """

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    content = EncryptedBinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("job", "number"), name="import_part_once"),)

    def __str__(self) -> str:
        return f"part {self.number}"


class ImportRow(models.Model):
    """The result of one row: why it was refused, or in a dry run what would happen to it.

    E.g. line 7: The row has no name. `fields` are those of the file, as JSON, kept of refused rows.
    """

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="row_results", db_index=False)
    line = models.BigIntegerField()
    verdict = models.CharField(max_length=16, choices=Verdict.choices)
    name = models.CharField(max_length=255, blank=True)
    column = models.TextField(blank=True)
    sentence = models.TextField()
    fields = EncryptedTextField(blank=True)

    class Meta:
        ordering = ("line",)
        # Serves the list of a job's rows by verdict and line.
        indexes = (models.Index(fields=("job", "verdict", "line"), name="import_row_by_verdict"),)
        constraints = (models.CheckConstraint(condition=Q(verdict__in=Verdict.values), name="import_row_verdict_known"),)

    def __str__(self) -> str:
        return f"Line {self.line}: {self.text}"

    @property
    def text(self) -> str:
        return f"{self.column}: {self.sentence}" if self.column else self.sentence


class ColumnMemory(models.Model):
    """The column types of the last list of one profile, by header."""

    profile = models.OneToOneField(DeviceProfile, primary_key=True, on_delete=models.CASCADE, related_name="+")
    columns = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"columns of {self.profile}"
