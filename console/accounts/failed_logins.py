"""What is kept of a failed login: a password typed as user name must not be readable afterwards."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest

from core.encryption import lookup_id
from core.text import has_control_characters


def kept_username(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """Return the user name under which a failed login is counted and shown (the setting AXES_USERNAME_CALLABLE).

    That of a user as it is; any other text as a keyed digest, so that its failures are still counted together.
    """
    typed = (credentials or request.POST).get("username")
    if not typed or (not has_control_characters(typed) and User.objects.filter(username=typed).exists()):
        return typed
    return f"unknown user {lookup_id('failed-login', typed)[:12]}"
