"""`provision_batch`: processes all provision requests, of every transport."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import Error, connection, transaction
from django.utils import timezone

from core.connections import retry_stale_connection
from core.encryption import DecryptionFailed
from devices.certificates import certificate_prove
from devices.credentials import X509Certificate
from devices.models import DeviceCredentials
from profiles.choices import Strategy
from profiles.models import ProvisioningKey
from provisioning import rate_limits, rejected
from provisioning.choices import ProvisionStatus, Reason
from provisioning.db_errors import DbError, classify
from provisioning.errors import ProvisionError, Unavailable
from provisioning.keys import keys_of
from provisioning.ledger import Ledger, blank_ledger, read_ledger
from provisioning.messages import ProvisionOutcome, ProvisionRequest
from provisioning.metrics import count_attempts
from provisioning.models import ProvisionAttempt
from provisioning.rate_limits import Guess
from provisioning.rejected import Rejected
from provisioning.rows import attempt_of
from provisioning.store import write_ledger, writes_at_once
from provisioning.strategies import decide
from provisioning.validation import ValidRequest, validate

log = logging.getLogger(__name__)

# How often a batch starts over when another process was first to take a name, a token or a lock.
MAX_TRIES = 4
# How many single requests may time out on a lock before the rest of their batch is answered as unavailable.
MAX_BLOCKED = 2

UNAVAILABLE = ProvisionOutcome(ProvisionStatus.FAILURE, Reason.UNAVAILABLE, retry_after_s=Unavailable.retry_after_s)
TOO_MANY_GUESSES = ProvisionOutcome(ProvisionStatus.FAILURE, Reason.TOO_MANY_GUESSES)
# As UNAVAILABLE, but for this request alone: a secret that it needs cannot be decrypted here.
UNREADABLE = replace(UNAVAILABLE, detail="A stored secret cannot be decrypted; ENCRYPTION_KEYS lacks its key.")

Checked = ValidRequest | ProvisionOutcome


@dataclass(frozen=True, slots=True)
class _Batch:
    """Requests, the keys that they showed as they are now, and what follows from the two."""

    requests: Sequence[ProvisionRequest]
    keys: dict[str, ProvisioningKey]
    checked: list[Checked]
    now: datetime

    @property
    def valid(self) -> list[ValidRequest]:
        return [one for one in self.checked if isinstance(one, ValidRequest)]

    @property
    def is_surely_new(self) -> bool:
        """Whether every valid request may be taken for a new device before anything is read."""
        return all(
            one.profile.strategy == Strategy.ALLOW_CREATE
            and one.key.use_limit is None
            # No constraint compares a certificate that is only claimed with one that was proven.
            and not isinstance(one.credentials, X509Certificate)
            for one in self.valid
        )


def provision_batch(requests: Sequence[ProvisionRequest]) -> list[ProvisionOutcome]:
    """Return the outcome of each of `requests`, in their order, once everything is committed.

    One transaction with a fixed number of statements, for 1 request or 64. Each request gets the outcome it would get if
    processed alone, in order. Raises Unavailable if the commit could not be confirmed. A single outcome with reason
    UNAVAILABLE means the same for one request among others.
    """
    try:
        return _provision(requests, timezone.now())
    except Error as err:
        _drop_connection(err)
        raise Unavailable("Database unavailable.") from err


def _provision(requests: Sequence[ProvisionRequest], now: datetime) -> list[ProvisionOutcome]:
    """Return the outcomes of `requests`, each alone if they fail together. Raises Error if the database is unavailable."""
    if len(requests) > 1 and any(request.origin.certificate for request in requests):
        # A proof takes a certificate from other devices, which the ledger of a batch does not know.
        return _one_at_a_time(requests, now)
    try:
        batch, outcomes = _commit(requests, now)
    except Exception as err:
        error = classify(err)
        if error is DbError.UNAVAILABLE:
            raise
        if len(requests) > 1:
            # One poisoned request must not affect the others.
            return _one_at_a_time(requests, now)
        if isinstance(err, DecryptionFailed):
            # Another process may have a newer or older key set, so this is not final.
            log.warning("%s Request %s is answered as unavailable", err, requests[0].origin.request_id)
            return [UNREADABLE]
        if error is DbError.LOCK_TIMEOUT:
            log.warning("A provision request timed out waiting for a lock")
            return [UNAVAILABLE]
        log.exception("A provision request failed unexpectedly", extra={"request_id": requests[0].origin.request_id})
        failed = [_failed_alone(requests[0], now)]
        count_attempts(requests, failed, {})
        return failed
    outcomes = _limit_guesses(batch, outcomes)
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
    """Decide and write in one transaction; start over, keys included, on a conflict with another process.

    If all requests ask for new devices, the first try reads nothing: nearly always all of them are new, and if not, a
    constraint fails before anything is committed.
    """
    conflict = False
    for tries_left in reversed(range(MAX_TRIES)):
        keys = retry_stale_connection(lambda: keys_of(requests))
        batch = _Batch(requests, keys, [_validated(request, keys.get(request.key), now) for request in requests], now)
        try:
            return batch, _decide_and_write(batch, reading=conflict or not batch.is_surely_new)
        except Error as err:
            if not tries_left or classify(err) is not DbError.CONFLICT:
                raise
            conflict = True
    raise AssertionError("unreachable")


def _validated(request: ProvisionRequest, key: ProvisioningKey | None, now: datetime) -> Checked:
    try:
        return validate(request, key, now)
    except ProvisionError as err:
        return _failed(err)


def _decide_and_write(batch: _Batch, *, reading: bool) -> list[ProvisionOutcome]:
    if all(isinstance(one, ProvisionOutcome) and one.reason in rate_limits.GUESSES for one in batch.checked):
        return [one for one in batch.checked if isinstance(one, ProvisionOutcome)]
    with transaction.atomic() if reading or not writes_at_once() else nullcontext():
        ledger = read_ledger(batch.valid, batch.now) if reading else blank_ledger(batch.now)
        outcomes = [_decided(one, ledger) for one in batch.checked]
        attempts = [
            attempt_of(request, outcome, key, batch.now)
            for request, outcome in zip(batch.requests, outcomes, strict=True)
            if (key := batch.keys.get(request.key)) and outcome.reason not in rate_limits.GUESSES
        ]
        write_ledger(ledger, attempts)
        for request, outcome in zip(batch.requests, outcomes, strict=True):
            _note_proof(request, outcome)
    return outcomes


def _note_proof(request: ProvisionRequest, outcome: ProvisionOutcome) -> None:
    """Make a certificate the device's own if it provisions on a TLS connection with that certificate.

    Source: docs/protocol.md, *Response*, Certificates.
    """
    proven = request.origin.certificate
    if proven and outcome.device_id and outcome.credentials and outcome.credentials.credentials_id == proven:
        claimed = DeviceCredentials.objects.filter(pk=outcome.device_id, certificate_claim=proven).first()
        if claimed:
            certificate_prove(credentials=claimed)


def _decided(checked: Checked, ledger: Ledger) -> ProvisionOutcome:
    if isinstance(checked, ProvisionOutcome):
        return checked
    try:
        return decide(checked, ledger)
    except ProvisionError as err:
        return _failed(err)


def attempt_add_detail(*, request_id: str, detail: str) -> None:
    """Have the attempt of a request of the last minutes say `detail`, unless it says something already. Raises nothing."""
    try:
        recent = ProvisionAttempt.objects.filter(created_at__gte=timezone.now() - timedelta(minutes=5))
        recent.filter(request_id=request_id, detail="").update(detail=detail)
    except Error as err:
        log.warning("The attempt of request %s could not be changed: %s", request_id, type(err).__name__)


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


def _limit_guesses(batch: _Batch, outcomes: list[ProvisionOutcome]) -> list[ProvisionOutcome]:
    """Count the wrong guesses among `outcomes`, and return them, those beyond a limit as limited.

    Only once the batch is committed, and whatever it was tried again: each guess counts once. An attempt with a wrong
    secret for a known key is logged as long as it is within the limits.
    """
    wrong = [index for index, outcome in enumerate(outcomes) if outcome.reason in rate_limits.GUESSES]
    if not wrong:
        return outcomes
    limited = replace(TOO_MANY_GUESSES, retry_after_s=60 - batch.now.second)
    guesses = [Guess(batch.requests[index].origin, batch.keys.get(batch.requests[index].key)) for index in wrong]
    answered, rejections, attempts = list(outcomes), [], []
    for index, guess, is_beyond in zip(wrong, guesses, rate_limits.count(guesses, batch.now), strict=True):
        if is_beyond:
            answered[index] = limited
        elif guess.key:
            attempts.append(attempt_of(batch.requests[index], outcomes[index], guess.key, batch.now))
        rejections.append(Rejected(guess.origin, answered[index].reason, guess.key))
    rejected.record(rejections, attempts, batch.now)
    return answered


def _failed(err: ProvisionError) -> ProvisionOutcome:
    return ProvisionOutcome(err.status, err.reason, err.detail)


def _drop_connection(err: Error) -> None:
    """Use a new connection for the next batch: this one may be broken, or lead to a server that became a standby."""
    connection.close()
    log.warning("Database unavailable: %s", type(err).__name__)
