"""Which JSON values a column can store, on any database."""

import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 32
NOT_FINITE = "A number is not finite."

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def json_problem(value: Any, depth: int = 0) -> str:
    """Return why `value`, from a JSON document, cannot be stored; "" if it can.

    PostgreSQL's jsonb cannot hold NUL or lone surrogates (its manual, 8.14), and JSON has no NaN (RFC 8259 section 6).
    """
    if depth > MAX_DEPTH:
        return "The value is nested too deeply."
    match value:
        case str():
            return "A text contains NUL or half a surrogate pair." if _UNSTORABLE.search(value) else ""
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
    """Raise ValueError for NaN and infinities, which Python's parser accepts and JSON does not have (RFC 8259 section 6)."""
    raise ValueError(f"{name} is not a JSON value.")
