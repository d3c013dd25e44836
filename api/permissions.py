"""What a caller of the management API may do: the token's scope and the owner's own rights, both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from api.choices import Scope
from api.models import ApiToken


@dataclass(frozen=True, slots=True)
class Access:
    """What one call needs: any of `scopes`, when it is made with a token, and every one of `rights` of the user."""

    scopes: tuple[Scope, ...]
    rights: tuple[str, ...] = ()


def may(request: Request, access: Access) -> bool:
    """Return whether the caller of `request` has `access`. A browser's session has no scopes, only its user's rights."""
    token = request.auth
    in_scope = not isinstance(token, ApiToken) or any(token.allows(scope) for scope in access.scopes)
    return bool(request.user and request.user.is_authenticated) and in_scope and request.user.has_perms(access.rights)


class HasAccess(BasePermission):
    """Reads from `view.access` what each action (of a view set) or method (of a view) needs.

    An action that is not listed is allowed to nobody: a forgotten entry must not open a door.
    """

    message = "Your token or your rights do not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method not in view.allowed_methods:
            return True  # to be answered with 405
        table: Mapping[str, Access] = view.access
        access = table.get(str(getattr(view, "action", request.method)))
        return access is not None and may(request, access)
