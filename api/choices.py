"""What a token may be allowed to do."""

from django.db import models


class Scope(models.TextChoices):
    """A part of the API. A token reaches the parts it names, as far as its owner's own rights go."""

    READ = "read", "Read everything but secrets"
    DEVICES_WRITE = "devices:write", "Create, change and delete devices"
    PROFILES_WRITE = "profiles:write", "Change profiles and their keys"
    CREDENTIALS_REVEAL = "credentials:reveal", "Read credentials and provision secrets"
    IMPORTS_WRITE = "imports:write", "Upload, cancel and undo imports"
    ADMIN = "admin", "All of the above, and users, brokers and webhooks"
