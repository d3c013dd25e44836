"""Escapes cells that a spreadsheet would run as a formula, and restores them.

Source: OWASP, *CSV Injection*: a cell that begins with one of these characters may be run; an apostrophe in front prevents it.
"""

import re

_FORMULA = "=+-@\t\r\n＝＋－＠"
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")


def escape_formula(cell: str) -> str:
    """Return `cell` so that a spreadsheet shows it as text. A plain number is not changed."""
    return f"'{cell}" if _is_formula(cell) or _is_quoted(cell) else cell


def restored(cell: str) -> str:
    """Return the cell that was passed to `escape_formula`."""
    return cell[1:] if _is_quoted(cell) else cell


def _is_formula(cell: str) -> bool:
    return cell[:1] != "" and cell[0] in _FORMULA and not _NUMBER.fullmatch(cell)


def _is_quoted(cell: str) -> bool:
    return cell[:1] == "'" and cell[1:2] != "" and cell[1] in _FORMULA + "'"
