"""What a JSON column can hold, on any database."""

import math
from typing import Any, NoReturn

MAX_DEPTH = 32


def json_problem(value: Any, depth: int = 0) -> str:
    """Return why `value`, from a JSON document, cannot be stored; "" when it can.

    NUL and lone surrogates have no place in PostgreSQL's jsonb (its manual, 8.14), and NaN none in JSON (RFC 8259 section 6).
    """
    if depth > MAX_DEPTH:
        return "The value is nested too deeply."
    match value:
        case str():
            bad = "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
            return "A text has NUL or half a surrogate pair." if bad else ""
        case float():
            return "" if math.isfinite(value) else "A number is not finite."
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
