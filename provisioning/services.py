"""`provision_batch`: the one way in for every provision request, whatever its transport."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db import Error, connection, transaction
from django.utils import timezone

from profiles.choices import Strategy
from profiles.connections import read_anew
from profiles.encryption import DecryptionFailed
from profiles.models import ProvisioningKey
from provisioning import guesses
from provisioning.admission import Admitted, admit
from provisioning.attempts import attempt_of, is_stored
from provisioning.choices import ProvisionStatus, Reason
from provisioning.errors import ProvisionError, Unavailable
from provisioning.faults import Fault, fault_of
from provisioning.guesses import Rejection
from provisioning.keys import keys_of
from provisioning.ledger import blank_ledger, read_ledger, write_ledger, writes_at_once
from provisioning.messages import ProvisionOutcome, ProvisionRequest
from provisioning.metrics import count_attempts
from provisioning.strategies import Ledger, decide

log = logging.getLogger(__name__)

# How often a batch starts over when another process was first to take a name, a token or a lock.
MAX_TRIES = 4
# How many requests, one at a time, may wait in vain for a lock before the rest of their batch is told to come again.
MAX_BLOCKED = 2

UNAVAILABLE = ProvisionOutcome(ProvisionStatus.FAILURE, Reason.UNAVAILABLE, retry_after_s=Unavailable.retry_after_s)

Admission = Admitted | ProvisionOutcome


@dataclass(frozen=True, slots=True)
class _Batch:
    """Requests, the keys that they showed as they are now, and what follows from the two."""

    requests: Sequence[ProvisionRequest]
    keys: dict[str, ProvisioningKey]
    admissions: list[Admission]
    now: datetime

    @property
    def admitted(self) -> list[Admitted]:
        return [admission for admission in self.admissions if isinstance(admission, Admitted)]

    @property
    def is_surely_new(self) -> bool:
        """Whether all that is admitted may be taken for new devices before anything is read."""
        return all(one.profile.strategy == Strategy.ALLOW_CREATE and one.key.use_limit is None for one in self.admitted)


def provision_batch(requests: Sequence[ProvisionRequest]) -> list[ProvisionOutcome]:
    """Return the outcome of each of `requests`, in their order, once everything is committed.

    One transaction with a fixed number of statements, for 1 request or 64. Each request comes to what it would have
    come to alone, after those before it. Raises Unavailable when the database is away: then nothing is known to be
    done. An outcome with reason UNAVAILABLE says the same of one request among others that were served.
    """
    try:
        return _provision(requests, timezone.now())
    except Error as err:
        _drop_connection(err)
        raise Unavailable("The database is away.") from err


def _provision(requests: Sequence[ProvisionRequest], now: datetime) -> list[ProvisionOutcome]:
    """Return the outcomes of `requests`, each alone where they fail together. Raises Error when the database is away."""
    try:
        batch, outcomes = _commit(requests, now)
    except Exception as err:
        fault = fault_of(err)
        if fault is Fault.AWAY:
            raise
        if len(requests) > 1:
            # One poisoned request must hurt nobody else.
            return _one_at_a_time(requests, now)
        if fault is Fault.BLOCKED:
            log.warning("A provision request waited in vain for a lock")
            return [UNAVAILABLE]
        log.exception("A provision request failed unexpectedly", extra={"request_id": requests[0].origin.request_id})
        failed = [_failed_alone(requests[0], now)]
        count_attempts(requests, failed, {})
        return failed
    outcomes = _limited(batch, outcomes)
    count_attempts(requests, outcomes, batch.keys)
    return outcomes


def _one_at_a_time(requests: Sequence[ProvisionRequest], now: datetime) -> list[ProvisionOutcome]:
    outcomes: list[ProvisionOutcome] = []
    for request in requests:
        try:
            outcomes += _provision([request], now)
        except Error as err:
            # Those before it are committed and get their answers.
            _drop_connection(err)
            break
        if outcomes.count(UNAVAILABLE) > MAX_BLOCKED:
            break
    return outcomes + [UNAVAILABLE] * (len(requests) - len(outcomes))


def _commit(requests: Sequence[ProvisionRequest], now: datetime) -> tuple[_Batch, list[ProvisionOutcome]]:
    """Decide and write in one transaction; all anew, the keys included, when another process interferes.

    Where all requests ask for new devices the first try reads nothing: nearly always everything is new indeed, and
    where it is not the constraints say so before anything is committed.
    """
    interfered = False
    for tries_left in reversed(range(MAX_TRIES)):
        keys = read_anew(lambda: keys_of(requests))
        batch = _Batch(requests, keys, [_admit(request, keys.get(request.key), now) for request in requests], now)
        try:
            return batch, _decide_and_write(batch, reading=interfered or not batch.is_surely_new)
        except Error as err:
            if not tries_left or fault_of(err) is not Fault.INTERFERED:
                raise
            interfered = True
    raise AssertionError("unreachable")


def _admit(request: ProvisionRequest, key: ProvisioningKey | None, now: datetime) -> Admission:
    wait_s = guesses.seconds_limited(request.origin, now)
    if wait_s:
        return ProvisionOutcome(ProvisionStatus.FAILURE, Reason.TOO_MANY_GUESSES, retry_after_s=wait_s)
    try:
        return admit(request, key, now)
    except ProvisionError as err:
        return _failed(err)


def _decide_and_write(batch: _Batch, *, reading: bool) -> list[ProvisionOutcome]:
    if not batch.admitted and not any(request.key in batch.keys for request in batch.requests):
        return [admission for admission in batch.admissions if isinstance(admission, ProvisionOutcome)]
    with transaction.atomic() if reading or not writes_at_once() else nullcontext():
        ledger = read_ledger(batch.admitted, batch.now) if reading else blank_ledger(batch.now)
        outcomes = [_decided(admission, ledger) for admission in batch.admissions]
        attempts = [
            attempt_of(request, outcome, key, batch.now)
            for request, outcome in zip(batch.requests, outcomes, strict=True)
            if (key := batch.keys.get(request.key)) and is_stored(outcome, key, batch.now)
        ]
        write_ledger(ledger, attempts)
    return outcomes


def _decided(admission: Admission, ledger: Ledger) -> ProvisionOutcome:
    if isinstance(admission, ProvisionOutcome):
        return admission
    try:
        return decide(admission, ledger)
    except ProvisionError as err:
        return _failed(err)


def _failed_alone(request: ProvisionRequest, now: datetime) -> ProvisionOutcome:
    """Return the outcome of a request that met an error of ours, and log it as an attempt where that can be done."""
    outcome = ProvisionOutcome(ProvisionStatus.FAILURE, Reason.INTERNAL_ERROR)
    try:
        key = keys_of([request]).get(request.key)
        if key:
            attempt_of(request, outcome, key, now).unsaved().save(force_insert=True)
    except (Error, DecryptionFailed) as err:
        log.warning("The failed request has no row in the attempts log: %s", type(err).__name__)
    return outcome


def _limited(batch: _Batch, outcomes: list[ProvisionOutcome]) -> list[ProvisionOutcome]:
    """Count the wrong guesses among `outcomes`, and return them with those beyond a limit told to wait."""
    wrong = [index for index, outcome in enumerate(outcomes) if outcome.reason in guesses.COUNTED]
    if not wrong:
        return outcomes
    rejections = [
        Rejection(request.origin, outcomes[index].reason, batch.keys.get(request.key))
        for index in wrong
        for request in (batch.requests[index],)
    ]
    limited = ProvisionOutcome(ProvisionStatus.FAILURE, Reason.TOO_MANY_GUESSES, retry_after_s=60 - batch.now.second)
    told = list(outcomes)
    for index, is_beyond in zip(wrong, guesses.count(rejections, batch.now), strict=True):
        if is_beyond:
            told[index] = limited
    return told


def _failed(err: ProvisionError) -> ProvisionOutcome:
    return ProvisionOutcome(err.status, err.reason, err.detail)


def _drop_connection(err: Error) -> None:
    """The next batch shall have a new connection: this one may be broken, or lead to a server that has become a standby."""
    connection.close()
    log.warning("The database is away: %s", type(err).__name__)
