"""The dashboard: devices, attempts of the last day, processes, what needs attention."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from brokers.models import Broker
from brokers.selectors import brokers_in_trouble
from console.dashboard.chart import attempts_chart
from console.devices.actions import counted
from console.devices.page import STATE_COLOURS
from devices.selectors import counts_by_profile, counts_by_state, waiting_since
from operations.heartbeat import process_states
from profiles.selectors import keys_ending
from provisioning.selectors import attempts_by_hour, failing_profiles, rejections, second_devices

HOURS = 24
DAY = timedelta(days=1)
KEYS_END_SOON = timedelta(days=14)
LONG_WAIT = timedelta(days=30)
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs attention, with a link to the page for it."""

    text: str
    url: str
    grave: bool = False


def add_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return `context` with the parts of the dashboard that the operator may see. A fixed number of queries."""
    now = timezone.now()
    user = request.user
    parts: dict[str, Any] = {"may_see": user.has_perm("devices.view_device")}
    if user.has_perm("devices.view_device"):
        parts["states"] = [
            (state, count, STATE_COLOURS[state], _list("devices_device", state=state))
            for state, count in counts_by_state().items()
        ]
        parts["profiles"] = [
            (profile, count, reverse("admin:profiles_deviceprofile_page", args=(profile.pk,)))
            for profile, count in counts_by_profile(SHOWN)
        ]
    if user.has_perm("provisioning.view_provisionattempt"):
        parts["chart"] = attempts_chart(attempts_by_hour(now=timezone.localtime(now), hours=HOURS))
        parts["concerns"] = concerns(now)
    if user.has_perm("operations.view_heartbeat"):
        parts["processes"] = process_states()
    return context | parts


def concerns(now: datetime) -> list[Concern]:
    """Return what needs attention, most serious first."""
    found = [
        Concern(
            f"A second device may be using the identity of {attempt.device_name} ({attempt.created_at:%Y-%m-%d %H:%M}).",
            _list("provisioning_provisionattempt", q=attempt.device_name),
            grave=True,
        )
        for attempt in second_devices(now - DAY, SHOWN)
    ]
    found += [
        Concern(
            f"{row.profile}: {row.failed} of {row.total} attempts of the last day failed.",
            _list("provisioning_provisionattempt", profile__id__exact=row.profile.pk),
            grave=True,
        )
        for row in failing_profiles(now - DAY)[:SHOWN]
    ]
    found += [
        Concern(_broker_trouble(broker, state), reverse("admin:brokers_broker_page", args=(broker.pk,)), grave=True)
        for broker, state in brokers_in_trouble(now)[:SHOWN]
    ]
    found += [
        Concern(
            f"{key} of {key.profile} expires on {key.expires_at:%Y-%m-%d %H:%M}.",
            reverse("admin:profiles_deviceprofile_page", args=(key.profile_id,)),
        )
        for key in keys_ending(now=now, before=now + KEYS_END_SOON, limit=SHOWN)
    ]
    if waiting := waiting_since(now - LONG_WAIT):
        text = f"{counted(waiting)} pre-provisioned for more than {LONG_WAIT.days} days and not provisioned yet."
        found.append(Concern(text, _list("devices_device", state="pre-provisioned")))
    if rejected := rejections(now - DAY):
        requests = "1 request" if rejected == 1 else f"{rejected:,} requests"
        text = f"{requests} of the last day rejected: unreadable, or with a wrong key or secret."
        found.append(Concern(text, _list("provisioning_rejectedrequest")))
    return found


def _broker_trouble(broker: Broker, state: str) -> str:
    if state == "admits anyone":
        return f"The broker {broker} lets in a client with made-up credentials."
    if not broker.last_asked_at:
        return f"The broker {broker} has never asked who may connect."
    return f"The broker {broker} has not asked since {timezone.localtime(broker.last_asked_at):%Y-%m-%d %H:%M}."


def _list(name: str, **query: object) -> str:
    return reverse(f"admin:{name}_changelist") + (f"?{urlencode(query)}" if query else "")
