"""Shows a provisioning key and its secret once: after creation, or on request of an operator, which is recorded."""

import uuid

from django.http import HttpRequest

from profiles.models import ProvisioningKey

REVEAL = "profiles.reveal_provisioningkey"
_SESSION_KEY = "key_to_show"


def may_reveal(request: HttpRequest) -> bool:
    return request.user.has_perm(REVEAL)


def show_next(request: HttpRequest, key: ProvisioningKey) -> None:
    """Let the next page of the profile show the key to this operator, once. Only its id is put into the session."""
    request.session[_SESSION_KEY] = str(key.pk)


def take_shown(request: HttpRequest) -> uuid.UUID | None:
    """Return the id of the key to show on this page, and remove it from the session."""
    shown = request.session.pop(_SESSION_KEY, None)
    return uuid.UUID(shown) if shown and may_reveal(request) else None
