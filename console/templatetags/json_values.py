"""Formats values of attributes and telemetry as devices send them: JSON, and text without quotes."""

import json
from typing import Any

from django import template

register = template.Library()


@register.filter
def as_sent(value: Any) -> str:
    """Return text unchanged and anything else as JSON: `true`, not Python's `True`."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
