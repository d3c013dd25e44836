"""Prometheus metrics of provisioning.

No label holds anything that a device sent: they are words of ours and the names of profiles, MAX_PROFILES at most.
"""

import collections
from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram

from profiles.models import ProvisioningKey
from provisioning.messages import ProvisionOutcome, ProvisionRequest

# Profiles beyond this many, in the order in which a process meets them, share the label OTHER_PROFILE.
MAX_PROFILES = 100
OTHER_PROFILE = "(other)"

ATTEMPTS = Counter(
    "firstlight_attempts",
    "Provision requests that could be read, and what became of them. Without a profile: no key was known.",
    ["transport", "outcome", "reason", "profile"],
)
UNREADABLE = Counter("firstlight_unreadable_requests", "Requests that could not be read.", ["transport"])
BATCH_SIZE = Histogram(
    "firstlight_batch_size", "Provision requests that were committed together.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
WAITING = Gauge(
    "firstlight_waiting_requests",
    "Requests that wait for the database, those in its hands included.",
    multiprocess_mode="livesum",
)

_profiles: set[str] = set()


def count_attempts(
    requests: Sequence[ProvisionRequest], outcomes: Sequence[ProvisionOutcome], keys: Mapping[str, ProvisioningKey]
) -> None:
    """Count `outcomes`, which are those of `requests` in their order; `keys` are those that the requests showed."""
    # Added up first: a batch has many alike, and each count is a write to a file that worker processes share.
    found = collections.Counter(
        (request.origin.transport.value, outcome.status.value, outcome.reason.value, _profile(keys.get(request.key)))
        for request, outcome in zip(requests, outcomes, strict=True)
    )
    for labels, count in found.items():
        ATTEMPTS.labels(*labels).inc(count)


def _profile(key: ProvisioningKey | None) -> str:
    return profile_label(key.profile.name) if key else ""


def profile_label(name: str) -> str:
    """Return the label for the profile called `name`."""
    if name not in _profiles:
        if len(_profiles) >= MAX_PROFILES:
            return OTHER_PROFILE
        _profiles.add(name)
    return name
