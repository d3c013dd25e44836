"""Sessions that must end: read from the event log, written down, tried until they succeed.

Deny first, then kick: the event was written by the transaction that made the broker's next question a denial.
"""

import logging
import uuid
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from brokers.kicks import ADAPTERS
from brokers.kicks.errors import KickFailed
from brokers.models import BrokerKick, BrokerSession
from devices.models import Device
from events.choices import ACCESS_CHANGES
from events.models import ReaderPosition
from events.selectors import page_after

log = logging.getLogger(__name__)

READER = "broker-kicks"
FIRST_RETRY = timedelta(seconds=2)
LONGEST_RETRY = timedelta(minutes=5)
# A session that the broker does not know of may be one that it does not show yet: RabbitMQ takes up to ten seconds.
LOOKED_FOR = timedelta(seconds=30)
GIVEN_UP_AFTER = timedelta(hours=24)
# While one run works on a kick, another one leaves it alone for this long.
CLAIMED_FOR = timedelta(seconds=30)
KICKS_AT_ONCE = 200
KEPT = timedelta(days=30)


@transaction.atomic
def read_events() -> bool:
    """Store the kicks that follow from one page of events. Return whether there is more to read at once."""
    ReaderPosition.objects.get_or_create(name=READER)
    reader = ReaderPosition.objects.select_for_update().get(name=READER)
    page = page_after(reader.position, kinds=ACCESS_CHANGES)
    if page.missed:
        _plan_kicks(_sessions().filter(~_admissible()))
    else:
        plan_for({event.device_id for event in page.events if event.device_id})
    if page.position != reader.position:
        ReaderPosition.objects.filter(name=READER).update(position=page.position, moved_at=timezone.now())
    return page.more


def plan_for(devices: set[uuid.UUID]) -> None:
    """Write down that the sessions of `devices`, given by their ids, must end."""
    _plan_kicks(_sessions().filter(device_id__in=devices))


def try_kicks() -> int:
    """Try what is due; return how many sessions ended."""
    now = timezone.now()
    due = BrokerKick.objects.filter(due_at__lte=now).select_related("broker").order_by("due_at")[:KICKS_AT_ONCE]
    return sum(_try(kick) for kick in due)


def prune() -> None:
    """Forget old kicks, and sessions that can no longer exist."""
    old = timezone.now() - KEPT
    BrokerKick.objects.filter(due_at=None, created_at__lt=old).delete()
    BrokerSession.objects.filter(admitted_at__lt=timezone.now() - 12 * KEPT).delete()


def _sessions() -> QuerySet[BrokerSession]:
    return BrokerSession.objects.filter(broker__kind__in=ADAPTERS).exclude(broker__management_url="")


def _admissible() -> Exists:
    """Return whether a session's device is there and not blocked."""
    return Exists(Device.objects.filter(pk=OuterRef("device_id"), blocked=False))


def _plan_kicks(sessions: Iterable[BrokerSession]) -> None:
    now = timezone.now()
    BrokerKick.objects.bulk_create(
        [
            BrokerKick(broker_id=row.broker_id, client_id=row.client_id, device_id=row.device_id, created_at=now, due_at=now)
            for row in sessions
        ]
    )


def _try(kick: BrokerKick) -> bool:
    now = timezone.now()
    claimed = BrokerKick.objects.filter(pk=kick.pk, due_at=kick.due_at).update(due_at=now + CLAIMED_FOR, tries=kick.tries + 1)
    if not claimed:
        return False  # another process was first
    rows = BrokerKick.objects.filter(pk=kick.pk)
    if not _is_current(kick):
        rows.update(due_at=None, done_at=now, problem="Another device uses this client id now.")
        return False
    try:
        found = ADAPTERS[kick.broker.kind](kick.broker, kick.client_id)
    except KickFailed as err:
        log.warning("Broker %s did not end a session of device %s: %s", kick.broker_id, kick.device_id, err)
        wait = min(FIRST_RETRY * 2 ** min(kick.tries, 10), LONGEST_RETRY)
        given_up = now + wait > kick.created_at + GIVEN_UP_AFTER
        rows.update(due_at=None if given_up else now + wait, problem=str(err)[:255])
        return False
    if not found and now < kick.created_at + LOOKED_FOR:
        rows.update(due_at=now + FIRST_RETRY)
        return False
    rows.update(due_at=None, done_at=timezone.now(), problem="")
    return found


def _is_current(kick: BrokerKick) -> bool:
    """Return whether the client id was not taken over by another device: its session must not end."""
    newer = BrokerSession.objects.filter(broker_id=kick.broker_id, client_id=kick.client_id).exclude(device_id=kick.device_id)
    return not newer.exists()
