"""No list answers a lookup that it does not need: each field of each related model is tried, for each role."""

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import RequestFactory
from django.urls import reverse

from console.rights import RIGHTS
from tests.support.operators import client_of, operator

pytestmark = pytest.mark.django_db

# What the lists of each model may be filtered by; everything else is refused.
MAX_DEPTH = 3
SECRETS = ("password", "secret", "token", "digest", "value", "session", "hash", "credentials_id", "retry_id")


def paths(model: type[Model], depth: int = MAX_DEPTH, seen: tuple[type[Model], ...] = ()) -> Iterator[str]:
    """Every path of fields from `model`, over relations in both directions, that visits no model twice."""
    for field in model._meta.get_fields(include_hidden=True):
        name = field.name
        yield name
        if field.is_relation and field.related_model and depth > 1 and field.related_model not in (*seen, model):
            yield from (f"{name}__{rest}" for rest in paths(field.related_model, depth - 1, (*seen, model)))


def declared(model_admin, request) -> set[str]:
    names = {one[0] if isinstance(one, list | tuple) else one for one in model_admin.get_list_filter(request)}
    return {name for name in names if isinstance(name, str)} | {model_admin.date_hierarchy, *model_admin.linked_lookups}


@pytest.mark.parametrize("role", [*RIGHTS, "superuser"])
def test_no_list_answers_a_lookup_that_it_does_not_declare(role):
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("root") if role == "superuser" else operator(role)

    tried = 0
    for model, model_admin in admin.site._registry.items():
        allowed = declared(model_admin, request)
        for path in paths(model):
            tried += 1
            ends = {path, path.removesuffix(f"__{path.rpartition('__')[2]}")}
            for suffix in ("", "__startswith", "__exact"):
                answer = model_admin.lookup_allowed(f"{path}{suffix}", "x", request)
                assert not answer or ends & allowed, f"{model.__name__}: {path}{suffix}"
    assert tried > 500


def test_nothing_that_is_declared_is_a_secret():
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("root")
    names = {name for model_admin in admin.site._registry.values() for name in declared(model_admin, request) if name}

    assert not [name for name in names if name.rpartition("__")[2] in SECRETS]


@pytest.mark.parametrize("lookup", ["password__startswith", "api_tokens__digest__startswith", "logentry__object_repr__contains"])
def test_list_of_users_answers_400_to_a_lookup_of_secrets(lookup):
    client = client_of("Administrator")

    assert client.get(reverse("admin:auth_user_changelist"), {lookup: "a"}).status_code == 400
    assert client.get(reverse("admin:auth_user_changelist"), {"is_active__exact": "1"}).status_code == 200
