"""What a JSON column can hold, on any database."""

import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 32
NOT_FINITE = "A number is not finite."

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def json_problem(value: Any, depth: int = 0) -> str:
    """Return why `value`, from a JSON document, cannot be stored; "" when it can.

    NUL and lone surrogates have no place in PostgreSQL's jsonb (its manual, 8.14), and NaN none in JSON (RFC 8259 section 6).
    """
    if depth > MAX_DEPTH:
        return "The value is nested too deeply."
    match value:
        case str():
            return "A text has NUL or half a surrogate pair." if _UNSTORABLE.search(value) else ""
        case float():
            return "" if math.isfinite(value) else NOT_FINITE
        case dict():
            inner = (*value.keys(), *value.values())
        case list():
            inner = tuple(value)
        case _:
            return ""
    return next((problem for part in inner if (problem := json_problem(part, depth + 1))), "")


def no_constant(name: str) -> NoReturn:
    """Raise ValueError for NaN and the infinities, which Python's parser reads and JSON lacks (RFC 8259 section 6)."""
    raise ValueError(f"{name} is not a JSON value.")
