"""Showing a provisioning key and its secret once: after it was made, or when an operator asks, which is recorded."""

import uuid

from django.http import HttpRequest

from profiles.models import ProvisioningKey

REVEAL = "profiles.reveal_provisioningkey"
_SESSION_KEY = "key_to_show"


def may_reveal(request: HttpRequest) -> bool:
    return request.user.has_perm(REVEAL)


def show_next(request: HttpRequest, key: ProvisioningKey) -> None:
    """Let the next page of the key's profile show it, to this operator and once. Only its id goes into the session."""
    request.session[_SESSION_KEY] = str(key.pk)


def take_shown(request: HttpRequest) -> uuid.UUID | None:
    """Return the id of the key that this page shows, and forget it."""
    shown = request.session.pop(_SESSION_KEY, None)
    return uuid.UUID(shown) if shown and may_reveal(request) else None
