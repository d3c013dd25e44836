"""The first page."""

from typing import Any

from django.http import HttpRequest


def add_dashboard(_request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return `context` with what the dashboard shows."""
    return context
