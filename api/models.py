"""The tokens with which programs call the management API."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from api.choices import Scope
from core.ids import new_id


class ApiToken(models.Model):
    """Lets one program in for one user, e.g. "Factory line 2", fl_9hTqZ0aB…, scopes `imports:write`.

    The token itself is known only to its owner: `digest` is its SHA-256, and `prefix` its beginning, by which
    people recognise it. The secret part has 256 bits, so a fast hash is as good as a slow one.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=255, blank=True, help_text="What the token is for, e.g. Factory line 2.")
    prefix = models.CharField(max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "API token"
        constraints = (models.UniqueConstraint(fields=("prefix",), name="api_token_prefix"),)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)" if self.name else f"{self.prefix}…"

    def is_expired(self, now: datetime) -> bool:
        """Return whether the token is no longer accepted at `now`."""
        return self.expires_at <= now

    def allows(self, scope: Scope) -> bool:
        """Return whether the token may be used for `scope`; `admin` includes all of them."""
        return scope in self.scopes or Scope.ADMIN in self.scopes
