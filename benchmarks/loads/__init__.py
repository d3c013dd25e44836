"""The loads: each sends provision requests over one transport and says what came back."""

from typing import TypedDict


class Pair(TypedDict):
    """Key and secret of a profile, as every load takes them."""

    key: str
    secret: str
