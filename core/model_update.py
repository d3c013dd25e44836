"""The one way in which services change fields of a row."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from core.unique import unique


def model_update(row: Model, fields: Mapping[str, Any], *, taken: str) -> list[str]:
    """Set `fields` of `row`, which its caller has locked, and return the names of those that changed.

    Raises ValidationError if a value does not fit, or with the text `taken` if another transaction took the name first;
    then nothing is saved.
    """
    changed = [name for name, value in fields.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, fields[name])
    row.full_clean()
    with unique("name", taken):
        row.save(update_fields=[*changed, "updated_at"])
    return changed
