"""Cells that a spreadsheet would run as a formula, made escape_formula and restored.

Source: OWASP, *CSV Injection*: a cell that begins with one of these characters may be run; a leading apostrophe makes it a text.
"""

import re

_FORMULA = "=+-@\t\r\n＝＋－＠"
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")


def escape_formula(cell: str) -> str:
    """Return `cell` so that a spreadsheet shows it as it stands. A plain number is left alone."""
    return f"'{cell}" if _is_formula(cell) or _is_quoted(cell) else cell


def restored(cell: str) -> str:
    """Return the cell that `escape_formula` was given."""
    return cell[1:] if _is_quoted(cell) else cell


def _is_formula(cell: str) -> bool:
    return cell[:1] != "" and cell[0] in _FORMULA and not _NUMBER.fullmatch(cell)


def _is_quoted(cell: str) -> bool:
    return cell[:1] == "'" and cell[1:2] != "" and cell[1] in _FORMULA + "'"
