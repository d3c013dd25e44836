"""`provision_batch`: the one way in for every provision request, whatever its transport."""

import logging
from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from profiles.choices import Strategy
from profiles.models import ProvisioningKey
from profiles.text import storable
from provisioning import guesses
from provisioning.admission import Admitted, admit, keys_of
from provisioning.choices import ProvisionStatus, Reason
from provisioning.errors import ProvisionError, Unavailable
from provisioning.guesses import Rejection
from provisioning.ledger import blank_ledger, read_ledger, write_ledger
from provisioning.messages import ProvisionOutcome, ProvisionRequest
from provisioning.models import ProvisionAttempt
from provisioning.strategies import Ledger, decide

log = logging.getLogger(__name__)

# How often a batch starts over when another process was first to take a name, a token or a lock.
MAX_TRIES = 4

Admission = Admitted | ProvisionOutcome


def provision_batch(requests: Sequence[ProvisionRequest]) -> list[ProvisionOutcome]:
    """Return the outcome of each of `requests`, in their order, once everything is committed.

    One transaction with a fixed number of statements, for 1 request or 64. Each request comes to what it would have
    come to alone, after those before it. Raises Unavailable when the database is away: then nothing is known to be done.
    """
    now = timezone.now()
    try:
        return _provision(requests, now)
    except (OperationalError, InterfaceError) as err:
        # The connection may be broken; the next batch shall have a new one.
        connection.close()
        log.warning("The database is away: %s", type(err).__name__)
        raise Unavailable("The database is away.") from err


def _provision(requests: Sequence[ProvisionRequest], now: datetime) -> list[ProvisionOutcome]:
    keys = keys_of(requests)
    admissions = [_admit(request, keys.get(request.key), now) for request in requests]
    try:
        outcomes = _commit(requests, admissions, keys, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # One poisoned request must hurt nobody else.
        if len(requests) == 1:
            log.exception("A provision request failed unexpectedly", extra={"request_id": requests[0].origin.request_id})
            return [ProvisionOutcome(ProvisionStatus.FAILURE, Reason.INTERNAL_ERROR)]
        return [outcome for request in requests for outcome in _provision([request], now)]
    return _limited(requests, outcomes, keys, now)


def _admit(request: ProvisionRequest, key: ProvisioningKey | None, now: datetime) -> Admission:
    wait_s = guesses.seconds_limited(request.origin, now)
    if wait_s:
        return ProvisionOutcome(ProvisionStatus.FAILURE, Reason.TOO_MANY_GUESSES, retry_after_s=wait_s)
    try:
        return admit(request, key, now)
    except ProvisionError as err:
        return _failed(err)


def _commit(
    requests: Sequence[ProvisionRequest], admissions: list[Admission], keys: dict[str, ProvisioningKey], now: datetime
) -> list[ProvisionOutcome]:
    """Decide and write in one transaction, anew when another process interferes.

    Where all requests ask for new devices the first try reads nothing: nearly always everything is new indeed, and
    where it is not the constraints say so before anything is committed.
    """
    admitted = [admission for admission in admissions if isinstance(admission, Admitted)]
    reading = not all(_is_surely_new(one) for one in admitted)
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            with transaction.atomic():
                ledger = read_ledger(admitted, now) if reading else blank_ledger(now)
                return _decide_and_write(ledger, requests, admissions, keys)
        except IntegrityError:
            # Between our reading and our writing someone else took a name or a token. Reading again shows who.
            if not tries_left:
                raise
            reading = True
        except OperationalError:
            # A deadlock or a lock that did not come: the connection stands, so start over. Else the database is away.
            if not tries_left or not connection.is_usable():
                raise
    raise AssertionError("unreachable")


def _is_surely_new(asked: Admitted) -> bool:
    """Return whether `asked` may be taken for a new device before anything is read."""
    return asked.profile.strategy == Strategy.ALLOW_CREATE and asked.key.use_limit is None


def _decide_and_write(
    ledger: Ledger, requests: Sequence[ProvisionRequest], admissions: list[Admission], keys: dict[str, ProvisioningKey]
) -> list[ProvisionOutcome]:
    outcomes = []
    for admission in admissions:
        if isinstance(admission, Admitted):
            try:
                outcomes.append(decide(admission, ledger))
            except ProvisionError as err:
                outcomes.append(_failed(err))
        else:
            outcomes.append(admission)
    attempts = [
        _attempt(request, outcome, keys[request.key], ledger.now)
        for request, outcome in zip(requests, outcomes, strict=True)
        if request.key in keys and _is_stored(outcome, keys[request.key], ledger.now)
    ]
    write_ledger(ledger, attempts)
    return outcomes


def _is_stored(outcome: ProvisionOutcome, key: ProvisioningKey, now: datetime) -> bool:
    """Return whether the attempt gets a row of its own; beyond the limits of guessing it is only counted."""
    if outcome.reason == Reason.SECRET_WRONG:
        return not guesses.is_key_limited(key, now)
    return outcome.reason != Reason.TOO_MANY_GUESSES


def _attempt(request: ProvisionRequest, outcome: ProvisionOutcome, key: ProvisioningKey, now: datetime) -> ProvisionAttempt:
    return ProvisionAttempt(
        created_at=now,
        transport=request.origin.transport,
        address=storable(request.origin.address, 64),
        request_id=storable(request.origin.request_id, 64),
        profile_id=key.profile_id,
        key_id=key.pk,
        device_name=storable(outcome.device_name or (request.device_name or "").strip()),
        device_id=outcome.device_id,
        outcome=outcome.status,
        reason=outcome.reason,
        detail=outcome.detail,
    )


def _limited(
    requests: Sequence[ProvisionRequest], outcomes: list[ProvisionOutcome], keys: dict[str, ProvisioningKey], now: datetime
) -> list[ProvisionOutcome]:
    """Count the wrong guesses among `outcomes`, and return them with those beyond a limit told to wait."""
    rejections = {
        index: Rejection(request.origin, outcome.reason, keys.get(request.key))
        for index, (request, outcome) in enumerate(zip(requests, outcomes, strict=True))
        if outcome.reason in (*guesses.GUESSES, Reason.KEY_EMPTY, Reason.TOO_MANY_GUESSES)
    }
    beyond = guesses.count(rejections.values(), now)
    wait_s = 60 - now.second
    return [
        ProvisionOutcome(ProvisionStatus.FAILURE, Reason.TOO_MANY_GUESSES, retry_after_s=wait_s)
        if rejections.get(index) in beyond
        else outcome
        for index, outcome in enumerate(outcomes)
    ]


def _failed(err: ProvisionError) -> ProvisionOutcome:
    return ProvisionOutcome(err.status, err.reason, err.detail)
