"""Which filters an admin list answers. A list that answers any lookup gives away what it does not show, letter by letter."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, Model
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest


class StrictLookups:
    """For a ModelAdmin: only what `list_filter`, `date_hierarchy` and `linked_lookups` name can be filtered by.

    Django's own allows every field of the model itself, e.g. `?password__startswith=`.
    """

    # Fields that links of other pages filter by, though the list has no filter for them.
    linked_lookups: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Return whether `lookup`, a parameter of the list's URL, may be used."""
        admin: Any = self
        path = _field_path(admin.model, lookup)
        # What begins with no field is the parameter of a filter's own, or an error; it reads nothing.
        return not path or path in {*self.linked_lookups, admin.date_hierarchy, *_filtered(admin.get_list_filter(request))}


def _filtered(list_filter: Iterable[Any]) -> Iterable[str]:
    """Return the fields of the filters in `list_filter`: names, pairs of a name and a class, or classes of their own."""
    for one in list_filter:
        if isinstance(one, str):
            yield one
        elif isinstance(one, list | tuple):
            yield one[0]


def _field_path(model: type[Model], lookup: str) -> str:
    """Return the fields that `lookup` leads over, without a primary key or transforms at its end; "" if it begins with none."""
    names: list[str] = []
    place: type[Model] | None = model
    for part in lookup.split(LOOKUP_SEP):
        if place is None:
            break
        try:
            field: Any = place._meta.pk if part == "pk" else place._meta.get_field(part)
        except FieldDoesNotExist:
            break
        if names and isinstance(field, Field) and field.primary_key:
            break
        names.append(part)
        place = field.related_model if field.is_relation else None
    return LOOKUP_SEP.join(names)
