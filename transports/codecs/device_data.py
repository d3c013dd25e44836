"""What devices send once they have credentials: telemetry and attributes, as JSON.

Source of the forms: protocol.md, *With the credentials afterwards*.
"""

import json
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from core.json_values import json_problem, no_constant
from core.text import MAX_TEXT_LENGTH
from devices.services import Reading

MAX_KEYS = 1_000


class BadDeviceData(Exception):
    """Telemetry or attributes that cannot be read. Its text goes to the device."""


def decode_telemetry(body: bytes) -> list[Reading]:
    """Return the readings in `body`: `{key: value}`, `{"ts": ms, "values": {…}}`, or an array of either. Raises BadDeviceData."""
    document = _parse(body)
    entries = document if isinstance(document, list) else [document]
    now = timezone.now()
    readings = [reading for entry in entries for reading in _readings(entry, now)]
    if len(readings) > MAX_KEYS:
        raise BadDeviceData(f"More than {MAX_KEYS} values in one message.")
    return readings


def decode_attributes(body: bytes) -> dict[str, Any]:
    """Return the attributes in `body`, one object; a null is skipped. Raises BadDeviceData."""
    values = _values(_parse(body))
    if len(values) > MAX_KEYS:
        raise BadDeviceData(f"More than {MAX_KEYS} attributes in one message.")
    return values


def _readings(entry: Any, now: datetime) -> list[Reading]:
    if isinstance(entry, dict) and "ts" in entry and isinstance(entry.get("values"), dict):
        return [Reading(key, value, _time(entry["ts"])) for key, value in _values(entry["values"]).items()]
    return [Reading(key, value, now) for key, value in _values(entry).items()]


def _values(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise BadDeviceData("An object of keys and values is needed.")
    for key in entry:
        if not 0 < len(key) <= MAX_TEXT_LENGTH:
            raise BadDeviceData(f"A key needs 1 to {MAX_TEXT_LENGTH} characters.")
    if problem := json_problem(entry):
        raise BadDeviceData(problem)
    return {key: value for key, value in entry.items() if value is not None}


def _time(milliseconds: Any) -> datetime:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        raise BadDeviceData("ts must be a number of milliseconds.")
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadDeviceData("ts is out of range.") from None


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise BadDeviceData("The body is not valid JSON.") from None


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("out of range")
    return number
