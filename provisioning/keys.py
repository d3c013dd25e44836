"""The provisioning keys that a batch presents, always read from the database: a revoked key must be refused at once."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model

from core.text import MAX_TEXT_LENGTH, has_control_characters
from profiles.models import DeviceProfile, ProvisioningKey
from provisioning import postgres
from provisioning.messages import ProvisionRequest

Row = TypeVar("Row", bound=Model)


def keys_of(requests: Iterable[ProvisionRequest]) -> dict[str, ProvisioningKey]:
    """Return the provisioning keys that `requests` show, with their profiles, by their text. One query."""
    texts = {request.key for request in requests if _could_be_key(request.key)}
    if not texts:
        return {}
    if connection.vendor == "postgresql":
        keys = _prepared(texts)
    else:
        keys = list(ProvisioningKey.objects.filter(key__in=texts).select_related("profile"))
    return {key.key: key for key in keys}


def _could_be_key(text: str) -> bool:
    return 0 < len(text) <= MAX_TEXT_LENGTH and not has_control_characters(text)


def _prepared(texts: set[str]) -> list[ProvisioningKey]:
    """Return the keys with `texts`. The ORM would take longer to word the query than the database to answer it."""
    own = len(_columns(ProvisioningKey))
    keys = []
    for row in postgres.fetch(_statement(), {"texts": list(texts)}):
        key = _loaded(ProvisioningKey, row[:own])
        key.profile = _loaded(DeviceProfile, row[own:])
        keys.append(key)
    return keys


@cache
def _statement() -> str:
    keys, profiles = ProvisioningKey._meta.db_table, DeviceProfile._meta.db_table
    columns = [f"{model._meta.db_table}.{name}" for model in (ProvisioningKey, DeviceProfile) for name in _columns(model)]
    return (
        f"SELECT {', '.join(columns)} FROM {keys} JOIN {profiles} ON {profiles}.id = {keys}.profile_id"  # noqa: S608 - of our models
        f" WHERE {keys}.key = ANY(%(texts)b::text[])"
    )


@cache
def _columns(model: type[Model]) -> list[str]:
    return [str(field.column) for field in model._meta.concrete_fields]


def _loaded(model: type[Row], values: Sequence[Any]) -> Row:
    """Return the database row with these `values`."""
    fields = model._meta.concrete_fields
    converted = [
        field.from_db_value(value, None, connection) if hasattr(field, "from_db_value") else value
        for field, value in zip(fields, values, strict=True)
    ]
    return model.from_db(connection.alias, [field.attname for field in fields], converted)
