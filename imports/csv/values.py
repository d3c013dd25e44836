"""The values of attributes and time series: JSON where they look like it, else text."""

import json
import math
import re
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

from core.json_values import json_problem, no_constant

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# Spreadsheets write them in upper case.
_WORDS = {"true": True, "false": False}
# A longer number is a serial number, which only text preserves.
MAX_NUMBER_LENGTH = 40

Scalar = str | int | float | bool
Value = Scalar | dict[str, Any] | list[Any]


def cast(text: str) -> Value:
    """Return `text` as a JSON number, true, false, object or array where it is one, else as it stands.

    007 and +1 are not JSON numbers, so they stay text (RFC 8259 section 6).
    """
    if text.startswith(("{", "[")):
        return _cast_container(text)
    return _cast_short(text) if len(text) <= MAX_NUMBER_LENGTH else text


# Values in a list repeat: a batch, a date, a firmware version. Only short ones are cached, so memory is bounded.
@lru_cache(maxsize=8192)
def _cast_short(text: str) -> Scalar:
    if _NUMBER.fullmatch(text):
        number: int | float = json.loads(text)
        return number if math.isfinite(number) else text
    return _WORDS.get(text.lower(), text)


def _cast_container(text: str) -> Value:
    try:
        value: dict[str, Any] | list[Any] = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return text
    return text if json_problem(value) else value


def as_json(value: Any) -> str:
    """Return `value` as JSON text. Most values are text or an integer, so these have a shortcut."""
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)
    return str(value) if kind is int else json.dumps(value)
