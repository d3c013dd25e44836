"""What devices send once they have credentials, and what they read: telemetry and attributes, as JSON.

Source of the forms: docs/protocol.md, *Data*.
"""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from core.json_values import NOT_FINITE, json_problem
from core.lenient_json import InvalidJson, LenientDecoder
from core.text import MAX_TEXT_LENGTH
from devices.selectors import AttributeRequest
from devices.services import Reading

MAX_KEYS = 1_000
# The years 1900 to 9998: times that every database stores and that can be displayed in any time zone. Milliseconds.
EARLIEST_TS, LATEST_TS = -2_208_988_800_000, 253_370_764_799_999

_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_NOT_FINITE_WORDS = frozenset(("nan", "inf", "infinity"))
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class BadDeviceData(Exception):
    """Telemetry, attributes or a request for them that cannot be read or stored. Its text goes to the device."""


def decode_telemetry(body: bytes) -> list[Reading]:
    """Return the readings in `body`: `{key: value}`, `{"ts": ms, "values": {…}}`, or an array of either. Raises BadDeviceData."""
    readings = readings_in(parse(body))
    if len(readings) > MAX_KEYS:
        raise BadDeviceData(f"More than {MAX_KEYS} values in one message.")
    return readings


def decode_attributes(body: bytes) -> dict[str, Any]:
    """Return the attributes in `body`, one object. Raises BadDeviceData."""
    values = attributes_in(parse(body))
    if len(values) > MAX_KEYS:
        raise BadDeviceData(f"More than {MAX_KEYS} attributes in one message.")
    return values


def decode_attribute_request(body: bytes) -> AttributeRequest:
    """Return the request in `body`, `{"clientKeys":"a,b","sharedKeys":"c"}`. Raises BadDeviceData."""
    document = parse(body)
    if not isinstance(document, dict):
        raise BadDeviceData("A JSON object is needed.")
    client_keys, shared_keys = document.get("clientKeys") or "", document.get("sharedKeys") or ""
    if not isinstance(client_keys, str) or not isinstance(shared_keys, str):
        raise BadDeviceData("clientKeys and sharedKeys must be text: names with commas between them.")
    return attribute_request(client_keys, shared_keys)


def attribute_request(client_keys: str, shared_keys: str) -> AttributeRequest:
    """Return the request for these names, each a text with commas between them, as in a query. Raises BadDeviceData."""
    request = AttributeRequest(_names(client_keys), _names(shared_keys))
    if len(request.client_keys) + len(request.shared_keys) > MAX_KEYS:
        raise BadDeviceData(f"More than {MAX_KEYS} names in one request.")
    return request


def decode_rpc_method(body: bytes) -> str:
    """Return the method that a client-side RPC calls, `{"method":"getSessionLimits","params":{}}`. Raises BadDeviceData."""
    document = parse(body)
    method = document.get("method") if isinstance(document, dict) else None
    if not isinstance(method, str):
        raise BadDeviceData("A JSON object with a method is needed.")
    return method


def encode(answer: dict[str, Any]) -> bytes:
    """Return an answer to a device as JSON text."""
    return _encode(answer).encode()


def _names(text: str) -> frozenset[str]:
    # A name that cannot be stored belongs to no attribute, and PostgreSQL refuses to compare it.
    return frozenset(name for name in text.split(",") if name and not json_problem(name))


def readings_in(document: Any) -> list[Reading]:
    """Return the readings in a JSON document, as `decode_telemetry` describes it. Raises BadDeviceData."""
    entries = document if isinstance(document, list) else [document]
    now = timezone.now()
    return [reading for entry in entries for reading in _readings(entry, now)]


def _readings(entry: Any, now: datetime) -> list[Reading]:
    if isinstance(entry, dict) and "ts" in entry and "values" in entry:
        measured_at = _time(entry["ts"])
        return [Reading(key, value, measured_at) for key, value in attributes_in(entry["values"]).items()]
    return [Reading(key, value, now) for key, value in attributes_in(entry).items()]


def attributes_in(entry: Any) -> dict[str, Any]:
    """Return the keys and values in a JSON document, one object. Raises BadDeviceData."""
    if not isinstance(entry, dict):
        raise BadDeviceData("A JSON object of keys and values is needed; other formats are not supported.")
    for key in entry:
        if not 0 < len(key) <= MAX_TEXT_LENGTH:
            raise BadDeviceData(f"A key needs 1 to {MAX_TEXT_LENGTH} characters.")
    problem = json_problem(entry)
    if problem == NOT_FINITE:
        entry = {key: value for key, value in entry.items() if json_problem(value, depth=1) != NOT_FINITE}
        problem = json_problem(entry)
    if problem:
        raise BadDeviceData(problem)
    return {key: value for key, value in entry.items() if value is not None}


def _time(ts: Any) -> datetime:
    if isinstance(ts, str) and _WHOLE_NUMBER.fullmatch(ts):
        ts = int(ts)
    if isinstance(ts, bool) or not isinstance(ts, int | float):
        raise BadDeviceData("ts must be a number of milliseconds.")
    if not EARLIEST_TS <= ts <= LATEST_TS:  # so for NaN too
        raise BadDeviceData("ts is out of range: it counts milliseconds since 1970.")
    return datetime.fromtimestamp(ts / 1000, UTC)


def _word(text: str) -> Any:
    """Return the value of a bare word: what C prints for a value that is no number is none, the rest is text."""
    return math.nan if text.lstrip("-+").lower() in _NOT_FINITE_WORDS else text


_DECODER = LenientDecoder(word=_word)


def parse(body: bytes) -> Any:
    """Return the JSON document in `body`, read as leniently as ThingsBoard reads it. Raises BadDeviceData."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("iso-8859-1")
    try:
        return _DECODER.decode(text)
    except InvalidJson as err:
        raise BadDeviceData(f"The body is not valid JSON: {err}") from None
