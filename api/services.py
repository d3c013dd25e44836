"""Making, recognising and revoking API tokens."""

import hashlib
from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone

from api.choices import Scope
from api.models import ApiToken
from core.random_text import random_alphanumeric

# Recognisable, so that secret scanners and people know a token that was left in a repository.
MARK = "fl_"
_PREFIX_LENGTH = 8
# 62^43 is 256 bits.
_SECRET_LENGTH = 43
TOKEN_LENGTH = len(MARK) + _PREFIX_LENGTH + _SECRET_LENGTH

DEFAULT_DAYS = 90
MAX_DAYS = 3_650
# last_used_at is written at most this often per token.
_USED_INTERVAL = timedelta(minutes=1)


def token_create(*, owner: User, scopes: Iterable[str], name: str = "", days: int = DEFAULT_DAYS) -> tuple[ApiToken, str]:
    """Return a new token of `owner` that expires after `days`, and its text, which nobody can ask for again.

    Raises ValidationError for an unknown scope, none at all, or a lifetime that is not 1 to 3,650 days.
    """
    if not 1 <= days <= MAX_DAYS:
        raise ValidationError({"days": f"A token is valid for 1 to {MAX_DAYS} days."})
    wanted = set(scopes)
    if unknown := sorted(wanted - set(Scope.values)):
        raise ValidationError({"scopes": f"There is no scope {unknown[0]}."})
    if not wanted:
        raise ValidationError({"scopes": "Choose at least one scope."})
    prefix = MARK + random_alphanumeric(_PREFIX_LENGTH)
    text = prefix + random_alphanumeric(_SECRET_LENGTH)
    now = timezone.now()
    token = ApiToken(
        owner=owner,
        name=name.strip(),
        prefix=prefix,
        digest=_digest(text),
        scopes=[scope for scope in Scope.values if scope in wanted],
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    token.full_clean()
    token.save(force_insert=True)
    return token, text


def token_revoke(*, token: ApiToken) -> None:
    """Delete `token`: the next call with it is refused."""
    token.delete()


def token_authenticate(text: str) -> ApiToken | None:
    """Return the token whose text is `text`, with its owner; None when it is unknown, expired or its owner inactive.

    Notes that it was used.
    """
    if len(text) != TOKEN_LENGTH or not text.startswith(MARK):
        return None
    now = timezone.now()
    live = ApiToken.objects.filter(expires_at__gt=now, owner__is_active=True).select_related("owner")
    token = live.filter(digest=_digest(text)).first()
    if token and (token.last_used_at is None or token.last_used_at <= now - _USED_INTERVAL):
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _USED_INTERVAL)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
    return token


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
