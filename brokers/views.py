"""The calls of brokers, below /api/brokers/{id}/. A broker that gets no answer may admit everyone: it always gets one."""

import json
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from django.core.exceptions import RequestDataTooBig
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from brokers.calls import Answer, Call, Denial, NotUnderstood
from brokers.dialects import DIALECTS, Dialect, generic
from brokers.models import Broker
from brokers.records import note_asked, note_denial
from brokers.services import has_secret
from core.connections import prepared_rows, retry_stale_connection

log = logging.getLogger(__name__)

BEARER = "bearer "
# Fields of a form. Django's own limit for the size of a body holds, too.
MAX_FIELDS = 50
# A broker that was read is believed for this long: it is a third of what a call asks the database. A call with another
# secret reads it again.
RECENT_S = 1.0
_recent: dict[uuid.UUID, tuple[float, Broker]] = {}
# By hand: each call asks this, and making it with the ORM takes longer than all else but the device's credentials.
_BROKER = "SELECT name, kind, secret_hash FROM brokers_broker WHERE id = %s"


def broker_call(request: HttpRequest, broker_id: uuid.UUID, name: str) -> HttpResponse:
    """Answer one call of a broker, in its dialect, whatever happens."""
    dialect = _dialect_of(name)
    try:
        found = answered(request, broker_id, name, dialect)
    except Error as err:
        log.warning("A broker's call is denied, database unavailable: %s", type(err).__name__)
        found = dialect.denied(Denial("Database unavailable."))
    except Exception:
        # The outermost handler of a call: after a 5xx some brokers let the client in.
        log.exception("A broker's call is denied because of an error")
        found = dialect.denied(Denial("Internal error."))
    response = HttpResponse(found.body, status=found.status, content_type=found.content_type)
    response.headers["Cache-Control"] = "no-store"
    return response


def answered(request: HttpRequest, broker_id: uuid.UUID, name: str, dialect: Dialect) -> Answer:
    """Return the answer to a call. Raises django.db.Error."""
    broker = broker_with_secret(request, broker_id)
    if broker is None or name not in DIALECTS[broker.kind].CALLS:
        return dialect.denied(Denial(""))
    call_name = request.headers.get("vernemq-hook", name)
    try:
        found = dialect.answer(Call(broker, call_name, _fields(request)))
    except NotUnderstood as err:
        found = dialect.denied(Denial(str(err)))
    note_asked(broker)
    if found.denial:
        note_denial(broker, call_name, found.denial)
    return found


def broker_with_secret(request: HttpRequest, broker_id: uuid.UUID) -> Broker | None:
    """Return the broker whose secret `request` presents: as Bearer token, as header X-Secret or as ?secret=.

    None if there is no such broker or the secret is wrong. Raises django.db.Error.
    """
    presented = presented_secret(request)
    if not presented:
        return None
    read_at, broker = _recent.get(broker_id, (0.0, None))
    if broker and time.monotonic() - read_at < RECENT_S and has_secret(broker, presented):
        return broker
    rows = retry_stale_connection(lambda: prepared_rows(_BROKER, [broker_id.hex]))
    if not rows:
        return None
    broker = Broker.from_db(connection.alias, ("id", "name", "kind", "secret_hash"), (broker_id, *rows[0]))
    _recent[broker_id] = time.monotonic(), broker
    if not has_secret(broker, presented):
        note_denial(broker, "any", Denial("A call presented a wrong secret.", address=str(request.META.get("REMOTE_ADDR", ""))))
        return None
    return broker


def presented_secret(request: HttpRequest) -> str:
    """Return the secret that `request` presents, "" if it presents none."""
    header = request.headers.get("Authorization", "")
    if header[: len(BEARER)].lower() == BEARER:
        return header[len(BEARER) :].strip()
    return request.headers.get("X-Secret", "") or request.GET.get("secret", "")


def _dialect_of(name: str) -> Dialect:
    """Return the dialect to deny in: the calls of no two dialects have the same name."""
    return next((dialect for dialect in DIALECTS.values() if name in dialect.CALLS), generic)


def _fields(request: HttpRequest) -> Mapping[str, Any]:
    """Return the fields of a body in JSON or form encoding. Raises NotUnderstood."""
    try:
        body = request.body
        if body.lstrip()[:1] == b"{":
            fields = json.loads(body)
        else:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except (RequestDataTooBig, UnreadablePostError, ValueError, RecursionError):
        raise NotUnderstood("The body is neither JSON nor a form, or too large.") from None
    if not isinstance(fields, dict):
        raise NotUnderstood("The body is no JSON object.")
    return fields
