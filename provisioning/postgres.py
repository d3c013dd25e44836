"""On PostgreSQL, everything that a batch has decided is written by one prepared statement.

It writes what `provisioning/store.py` writes with the ORM, row for row; nothing is decided here. One round trip in
place of five, planned once per connection, and none of the ORM's work per row: measured in docs/performance.md.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psycopg
from django.db import IntegrityError, connection

from core.encryption import encrypt
from devices.models import Device, DeviceCredentials
from events.choices import Kind
from provisioning.ledger import Ledger
from provisioning.rows import AttemptRow, AttributeRow, NewCredentials, NewDevice


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One data-modifying part of the statement: its SQL, and the array columns that its rows become.

    A `counted` part must touch every row of its own, else another transaction was first. Parts that read another
    part's `returning` columns stand behind it.
    """

    name: str
    sql: str
    columns: dict[str, tuple[str, Callable[[Any], Any]]]
    counted: bool = False
    returning: str = ""

    def parameters(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        return {f"{self.name}_{column}": [value(row) for row in rows] for column, (_, value) in self.columns.items()}

    def text(self) -> str:
        # %b: as binary, which costs neither side quoting and parsing.
        arrays = ", ".join(f"%({self.name}_{column})b::{kind}[]" for column, (kind, _) in self.columns.items())
        rows = f"unnest({arrays}) AS row ({', '.join(self.columns)})"
        return f"{self.name} AS ({self.sql.format(rows=rows)}{self.returning and f' RETURNING {self.returning}'})"


_CREDENTIALS: dict[str, tuple[str, Callable[[DeviceCredentials | NewCredentials], Any]]] = {
    "device_id": ("uuid", lambda row: row.device_id),
    "type": ("text", lambda row: str(row.type)),
    "credentials_id": ("text", lambda row: row.credentials_id),
    "value": ("text", lambda row: encrypt(row.value)),
}
_PROVISIONED: dict[str, tuple[str, Callable[[Device | NewDevice], Any]]] = {
    "id": ("uuid", lambda row: row.pk),
    "gateway": ("bool", lambda row: row.gateway),
    "key_id": ("uuid", lambda row: row.provisioned_with_id),
    "retry_id": ("text", lambda row: row.retry_id),
}
_CREATED = _Part(
    "created",
    """INSERT INTO devices_device (id, name, label, description, profile_id, gateway, blocked, provisioned_at,
                                   provisioned_with_id, retry_id, created_at, updated_at)
       SELECT id, name, '', '', profile_id, gateway, false, %(now)s, key_id, retry_id, %(now)s, %(now)s FROM {rows}""",
    _PROVISIONED | {"name": ("text", lambda row: row.name), "profile_id": ("uuid", lambda row: row.profile_id)},
    returning="id, profile_id",
)
_CREDENTIALS_GIVEN = _Part(
    "given",
    """INSERT INTO devices_devicecredentials (device_id, type, credentials_id, value, updated_at)
       SELECT device_id, type, credentials_id, value, %(now)s FROM {rows}""",
    _CREDENTIALS,
)
_CLAIM = {"certificate_claim": ("text", lambda row: row.certificate_claim)}
_CERTIFICATES_GIVEN = _Part(
    "given_certificate",
    """INSERT INTO devices_devicecredentials (device_id, type, credentials_id, certificate_claim, value, updated_at)
       SELECT device_id, type, credentials_id, certificate_claim, value, %(now)s FROM {rows}""",
    _CREDENTIALS | _CLAIM,
)
_CLAIMED = _Part(
    "claimed",
    """UPDATE devices_device
       SET provisioned_at = %(now)s, updated_at = %(now)s, first_used_at = NULL,
           provisioned_with_id = row.key_id, retry_id = row.retry_id, gateway = row.gateway
       FROM {rows}
       WHERE devices_device.id = row.id AND provisioned_at IS NULL""",
    _PROVISIONED,
    counted=True,
    returning="devices_device.id, profile_id",
)
_CREDENTIALS_CHANGED = _Part(
    "changed",
    """UPDATE devices_devicecredentials
       SET type = row.type, credentials_id = row.credentials_id, certificate_claim = row.certificate_claim,
           value = row.value, generated = false,
           handed_out_at = NULL, renew = false, updated_at = %(now)s
       FROM {rows}
       WHERE devices_devicecredentials.device_id = row.device_id""",
    _CREDENTIALS | _CLAIM,
    counted=True,
    returning="devices_devicecredentials.device_id",
)
# Which events follow from which part. Credentials change with a claim only, whose row has the profile.
_EVENTS = {
    _CREATED: (Kind.DEVICE_PROVISIONED, '{"created": true}', "created"),
    _CLAIMED: (Kind.DEVICE_PROVISIONED, "{}", "claimed"),
    _CREDENTIALS_CHANGED: (Kind.CREDENTIALS_CHANGED, "{}", "claimed JOIN changed ON id = device_id"),
}
_ATTRIBUTES = _Part(
    "attribute",
    """INSERT INTO devices_deviceattribute (id, device_id, scope, key, value, updated_at)
       SELECT id, device_id, scope, key, value::jsonb, %(now)s FROM {rows}
       ON CONFLICT (device_id, scope, key) DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at""",
    {
        "id": ("uuid", lambda row: row.id),
        "device_id": ("uuid", lambda row: row.device_id),
        "scope": ("text", lambda row: str(row.scope)),
        "key": ("text", lambda row: row.key),
        "value": ("text", lambda row: json.dumps(row.value)),
    },
)
_ATTEMPTS = _Part(
    "attempt",
    """INSERT INTO provisioning_provisionattempt (id, created_at, transport, address, request_id, profile_id, key_id,
                                                  device_name, device_id, outcome, reason, detail)
       SELECT id, %(now)s, transport, address, request_id, profile_id, key_id, device_name, device_id, outcome, reason, detail
       FROM {rows}""",
    {
        "id": ("uuid", lambda row: row.id),
        "transport": ("text", lambda row: str(row.transport)),
        "address": ("text", lambda row: row.address),
        "request_id": ("text", lambda row: row.request_id),
        "profile_id": ("uuid", lambda row: row.profile_id),
        "key_id": ("uuid", lambda row: row.key_id),
        "device_name": ("text", lambda row: row.device_name),
        "device_id": ("uuid", lambda row: row.device_id),
        "outcome": ("text", lambda row: str(row.outcome)),
        "reason": ("text", lambda row: str(row.reason)),
        "detail": ("text", lambda row: row.detail),
    },
)


def write(ledger: Ledger, attributes: list[AttributeRow], attempts: list[AttemptRow]) -> None:
    """Write all rows of a batch. What only creates may be written without a transaction: it is all there then, or nothing.

    Raises IntegrityError when another transaction was first to take something; one at hand must then be rolled back.
    """
    rows: dict[_Part, Sequence[Any]] = {
        _CREATED: ledger.created,
        _CREDENTIALS_GIVEN: [row for row in ledger.new_credentials if not row.certificate_claim],
        _CERTIFICATES_GIVEN: [row for row in ledger.new_credentials if row.certificate_claim],
        _CLAIMED: ledger.claimed,
        _CREDENTIALS_CHANGED: ledger.changed_credentials,
        _ATTRIBUTES: attributes,
        _ATTEMPTS: attempts,
    }
    parts = tuple(part for part in rows if rows[part])
    if not parts:
        return
    parameters: dict[str, Any] = {"now": ledger.now}
    for part in parts:
        parameters |= part.parameters(rows[part])
    expected = sum(len(rows[part]) for part in parts if part.counted)
    ((touched,),) = fetch(_statement(parts), parameters)
    if touched != expected:
        raise IntegrityError("Another transaction took a name, a device or credentials since they were read.")


@lru_cache
def _statement(parts: tuple[_Part, ...]) -> str:
    """Return the one statement of which `parts` are the parts. It yields how many rows the counted ones touched.

    The parts see one snapshot (PostgreSQL manual, 7.8.4), which suits: no batch both inserts and updates a row. Foreign
    keys are checked at the end of the transaction.
    """
    counts = " + ".join(f"(SELECT count(*) FROM {part.name})" for part in parts if part.counted) or "0"  # noqa: S608 - from the constants above
    texts = [part.text() for part in parts]
    events = " UNION ALL ".join(
        f"SELECT '{kind}', id, profile_id, '{data}'::jsonb FROM {rows}"  # noqa: S608 - from the constants above
        for kind, data, rows in (_EVENTS[part] for part in parts if part in _EVENTS)
    )
    if events:
        columns = "created_at, kind, device_id, profile_id, data"
        texts.append(f"event AS (INSERT INTO events_event ({columns}) SELECT %(now)s::timestamptz, * FROM ({events}) AS row)")  # noqa: S608
    return "WITH " + ", ".join(texts) + " SELECT " + counts


def fetch(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of `statement`. Raises what Django raises for an error of the database."""
    # A cursor of psycopg itself: Django's binds on the client's side, and so would have each statement parsed and planned again.
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement, parameters).fetchall()
