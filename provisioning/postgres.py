"""On PostgreSQL, everything that a batch has decided is written by one statement.

It writes what `provisioning/ledger.py` writes with the ORM, row for row; nothing is decided here. One round trip in
place of five, and none of the ORM's work per row: measured in docs/performance.md.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db import IntegrityError, connection

from devices.models import Device, DeviceAttribute, DeviceCredentials
from profiles.encryption import encrypt
from provisioning.models import ProvisionAttempt
from provisioning.strategies import Ledger

Row = TypeVar("Row")

# Data-modifying parts of one WITH see the same snapshot (PostgreSQL manual, 7.8.4), which suits: no row is both
# inserted and updated by one batch. Foreign keys are checked at the end of the statement or later.
_WRITE = """
WITH device AS (
    INSERT INTO devices_device (id, name, label, description, profile_id, gateway, blocked, provisioned_at,
                                provisioned_with_id, retry_id, created_at, updated_at)
    SELECT id, name, '', '', profile_id, gateway, false, %(now)s, key_id, retry_id, %(now)s, %(now)s
    FROM unnest(%(device_id)s::uuid[], %(device_name)s::text[], %(device_profile)s::uuid[], %(device_gateway)s::bool[],
                %(device_key)s::uuid[], %(device_retry)s::text[]) AS row (id, name, profile_id, gateway, key_id, retry_id)
), credentials AS (
    INSERT INTO devices_devicecredentials (device_id, type, credentials_id, value, updated_at)
    SELECT device_id, type, credentials_id, value, %(now)s
    FROM unnest(%(new_device)s::uuid[], %(new_type)s::text[], %(new_id)s::text[], %(new_value)s::text[])
        AS row (device_id, type, credentials_id, value)
), claimed AS (
    UPDATE devices_device
    SET provisioned_at = %(now)s, updated_at = %(now)s, first_used_at = NULL,
        provisioned_with_id = row.key_id, retry_id = row.retry_id, gateway = row.gateway
    FROM unnest(%(claimed_id)s::uuid[], %(claimed_gateway)s::bool[], %(claimed_key)s::uuid[], %(claimed_retry)s::text[])
        AS row (id, gateway, key_id, retry_id)
    WHERE devices_device.id = row.id AND provisioned_at IS NULL
    RETURNING 1
), changed AS (
    UPDATE devices_devicecredentials
    SET type = row.type, credentials_id = row.credentials_id, value = row.value, updated_at = %(now)s
    FROM unnest(%(changed_device)s::uuid[], %(changed_type)s::text[], %(changed_id)s::text[], %(changed_value)s::text[])
        AS row (device_id, type, credentials_id, value)
    WHERE devices_devicecredentials.device_id = row.device_id
), attribute AS (
    INSERT INTO devices_deviceattribute (id, device_id, scope, key, value, updated_at)
    SELECT id, device_id, scope, key, value::jsonb, updated_at
    FROM unnest(%(attribute_id)s::uuid[], %(attribute_device)s::uuid[], %(attribute_scope)s::text[], %(attribute_key)s::text[],
                %(attribute_value)s::text[], %(attribute_at)s::timestamptz[])
        AS row (id, device_id, scope, key, value, updated_at)
    ON CONFLICT (device_id, scope, key) DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at
), attempt AS (
    INSERT INTO provisioning_provisionattempt (id, created_at, transport, address, request_id, profile_id, key_id, device_name,
                                               device_id, outcome, reason, detail)
    SELECT id, %(now)s, transport, address, request_id, profile_id, key_id, device_name, device_id, outcome, reason, detail
    FROM unnest(%(attempt_id)s::uuid[], %(attempt_transport)s::text[], %(attempt_address)s::text[], %(attempt_request)s::text[],
                %(attempt_profile)s::uuid[], %(attempt_key)s::uuid[], %(attempt_name)s::text[], %(attempt_device)s::uuid[],
                %(attempt_outcome)s::text[], %(attempt_reason)s::text[], %(attempt_detail)s::text[])
        AS row (id, transport, address, request_id, profile_id, key_id, device_name, device_id, outcome, reason, detail)
)
SELECT count(*) FROM claimed
"""

_DEVICE: dict[str, Callable[[Device], Any]] = {
    "id": lambda row: row.pk,
    "name": lambda row: row.name,
    "profile": lambda row: row.profile_id,
    "gateway": lambda row: row.gateway,
    "key": lambda row: row.provisioned_with_id,
    "retry": lambda row: row.retry_id,
}
_CREDENTIALS: dict[str, Callable[[DeviceCredentials], Any]] = {
    "device": lambda row: row.device_id,
    "type": lambda row: str(row.type),
    "id": lambda row: row.credentials_id,
    "value": lambda row: encrypt(row.value),
}
_ATTRIBUTE: dict[str, Callable[[DeviceAttribute], Any]] = {
    "id": lambda row: row.pk,
    "device": lambda row: row.device_id,
    "scope": lambda row: str(row.scope),
    "key": lambda row: row.key,
    "value": lambda row: json.dumps(row.value),
    "at": lambda row: row.updated_at,
}
_ATTEMPT: dict[str, Callable[[ProvisionAttempt], Any]] = {
    "id": lambda row: row.pk,
    "transport": lambda row: str(row.transport),
    "address": lambda row: row.address,
    "request": lambda row: row.request_id,
    "profile": lambda row: row.profile_id,
    "key": lambda row: row.key_id,
    "name": lambda row: row.device_name,
    "device": lambda row: row.device_id,
    "outcome": lambda row: str(row.outcome),
    "reason": lambda row: str(row.reason),
    "detail": lambda row: row.detail,
}


def write(ledger: Ledger, attributes: list[DeviceAttribute], attempts: list[ProvisionAttempt]) -> None:
    """Write all rows of a batch. Raises IntegrityError when another transaction was first to take something."""
    parameters: dict[str, Any] = {
        "now": ledger.now,
        **_arrays("device", ledger.created, _DEVICE),
        **_arrays("new", ledger.new_credentials, _CREDENTIALS),
        **_arrays("claimed", ledger.claimed, _DEVICE),
        **_arrays("changed", ledger.changed_credentials, _CREDENTIALS),
        **_arrays("attribute", attributes, _ATTRIBUTE),
        **_arrays("attempt", attempts, _ATTEMPT),
    }
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, parameters)
        (claimed,) = cursor.fetchone()
    if claimed != len(ledger.claimed):
        raise IntegrityError("A device that was read as not provisioned has been provisioned since.")


def _arrays(name: str, rows: Iterable[Row], columns: dict[str, Callable[[Row], Any]]) -> dict[str, list[Any]]:
    """Return one list a column, by the parameter's name."""
    return {f"{name}_{column}": [value(row) for row in rows] for column, value in columns.items()}
