"""Who calls the management API: a token in a header, or the session of a browser."""

from typing import Any

from django.contrib.auth.models import User
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from api.models import ApiToken
from api.services import token_authenticate

# Where a token may be, and with which word before it: RFC 6750, and the two ways of ThingsBoard's clients.
_HEADERS = (("Authorization", ("bearer",)), ("X-Authorization", ("bearer", "apikey")))


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer fl_…`, `X-Authorization: Bearer fl_…` or `X-Authorization: ApiKey fl_…`."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """Return the token's owner and the token; None where no header has one. Raises AuthenticationFailed."""
        text = _presented(request)
        if text is None:
            return None
        token = token_authenticate(text)
        if token is None:
            raise AuthenticationFailed("The token is unknown, expired or revoked.")
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes DRF answer 401 (RFC 6750 section 3)."""
        return "Bearer"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI schema describes it."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "fl_…"}


def _presented(request: Request) -> str | None:
    for header, words in _HEADERS:
        word, _, text = request.headers.get(header, "").partition(" ")
        if word.lower() in words:
            return text.strip()
    return None
