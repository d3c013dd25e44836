"""Content of the page of a profile."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max
from django.http import HttpRequest
from django.utils import timezone

from console.addresses import addresses_for
from console.profiles import key_reveal
from console.profiles.key_views import ADD, CHANGE
from console.profiles.snippets import Pair, snippets
from profiles.choices import Strategy
from profiles.models import DeviceProfile, ProvisioningKey

ATTEMPTS_SHOWN = 10
KEYS_SHOWN = 50
# The device of the snippets.
SAMPLE_NAME = "my-device"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key in the list on the page. `state` is live, expired, revoked or used up."""

    key: ProvisioningKey
    state: str
    uses: int
    last_used: datetime | None


def profile_context(request: HttpRequest, profile: DeviceProfile, *, revealed: uuid.UUID | None) -> dict[str, Any]:
    """Return the content of the page, with key and secret of the key `revealed`. A fixed number of queries."""
    rows = key_rows(profile, timezone.now())
    shown_key = next((row.key for row in rows if row.key.pk == revealed), None)
    pair = Pair(shown_key.key, shown_key.secret_for) if shown_key else Pair()
    return {
        "profile": profile,
        "strategy": Strategy(profile.strategy),
        "key_rows": rows,
        "live_keys": [row for row in rows if row.state == "live"],
        "shown_key": shown_key,
        "snippets": snippets(pair, addresses_for(request), device_name=SAMPLE_NAME),
        "devices_total": profile.devices.count(),
        "attempts": profile.attempts.select_related("key").defer("key__secret")[:ATTEMPTS_SHOWN],
        "attempts_query": f"profile__id__exact={profile.pk}",
        "may_rotate": request.user.has_perm(ADD),
        "may_change_keys": request.user.has_perm(CHANGE),
        "may_reveal": key_reveal.may_reveal(request),
        "may_try": request.user.has_perm("devices.add_device"),
    }


def key_rows(profile: DeviceProfile, now: datetime) -> list[KeyRow]:
    """Return the keys of `profile`, live ones first, each with its uses and the time of the last one."""
    # Secrets stay encrypted, except for the revealed one.
    keys = profile.keys.defer("secret").annotate(device_count=Count("devices"), last_used=Max("devices__provisioned_at"))
    rows = [
        # Uses are counted in the key's row only if it has a limit (docs/architecture.md, *The batch*).
        KeyRow(key, key_state(key, now), key.uses if key.use_limit is not None else key.device_count, key.last_used)
        for key in keys[:KEYS_SHOWN]
    ]
    return sorted(rows, key=lambda row: row.state != "live")


def key_state(key: ProvisioningKey, now: datetime) -> str:
    """Return whether `key` is live, expired, revoked or used up."""
    if key.revoked_at:
        return "revoked"
    if key.is_expired(now):
        return "expired"
    return "used up" if key.is_used_up else "live"
