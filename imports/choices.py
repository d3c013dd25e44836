"""Choices of imports."""

from django.db import models


class ImportState(models.TextChoices):
    DRAFT = "DRAFT", "Draft"
    QUEUED = "QUEUED", "Waiting"
    RUNNING = "RUNNING", "Running"
    DONE = "DONE", "Done"
    CANCELLED = "CANCELLED", "Cancelled"
    FAILED = "FAILED", "Failed"
    UNDOING = "UNDOING", "Undoing"
    UNDONE = "UNDONE", "Undone"


class Verdict(models.TextChoices):
    """What happens to a row."""

    CREATED = "CREATED", "Created"
    UPDATED = "UPDATED", "Updated"
    UNCHANGED = "UNCHANGED", "Unchanged"
    REFUSED = "REFUSED", "Refused"


class ImportSource(models.TextChoices):
    BROWSER = "BROWSER", "Browser"
    COMMAND = "COMMAND", "Command line"
    HTTP = "HTTP", "HTTP"
