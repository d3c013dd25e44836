"""Who may only look changes nothing: every page gets every form and action, every address of the API every method."""

import re
from collections.abc import Iterator

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern
from django.utils import timezone

from api.services import token_create
from brokers.services import broker_create
from console.devices.actions import ACTIONS
from imports.choices import ImportSource, ImportState
from imports.models import ImportJob
from imports.services import job_create
from operations.models import Heartbeat
from profiles.models import ProvisioningKey
from provisioning.choices import Reason, Transport
from provisioning.messages import Origin
from provisioning.rejected import Rejected, record
from tests.support.operators import client_of
from tests.support.provisioning import ask, checking, provision

pytestmark = pytest.mark.django_db

METHODS = ("post", "put", "patch", "delete")
# What everybody may do for themselves.
OWN = {"login", "logout", "password_change", "api_apitoken_add"}
# These call other servers if they are allowed.
CALLING = {"broker_test", "profile_try"}
# The session of the caller, and when a token was used.
NOT_COUNTED = re.compile(r'"django_session"|SET "last_used_at"')
FIELDS = {
    "name": "swept",
    "key": "swept",
    "value": "1",
    "set": "",
    "post": "yes",
    "confirmed": "1",
    "transport": "HTTP",
    "kind": "emqx",
    "block_devices": "on",
}


@pytest.fixture
def rows(monkeypatch):
    """One row, at least, of each model that has a page."""
    for module in ("console", "api"):
        monkeypatch.setattr(f"{module}.imports.{'admin' if module == 'console' else 'views'}.dispatch", lambda _job: None)
    owner = User.objects.create_superuser("owner")
    key = checking("DHT11-1")
    provision(ask(key, "DHT11-1"))
    provision(ask(key, "unknown"))
    record([Rejected(Origin(Transport.HTTP, "192.0.2.1"), Reason.KEY_UNKNOWN)], (), timezone.now())
    broker_create(name="plant", kind="emqx")
    token_create(owner=owner, scopes=["admin"])
    job_create(file_name="list.csv", source=ImportSource.BROWSER, user=owner, profile=key.profile, state=ImportState.DONE)
    Heartbeat.objects.create(instance="coap@h", process="coap")
    AccessAttempt.objects.create(username="owner", failures_since_start=1)
    content_type = ContentType.objects.get_for_model(User)
    LogEntry.objects.create(user=owner, action_flag=CHANGE, content_type=content_type, object_id="1", object_repr="owner")
    Group.objects.get_or_create(name="Viewer")


def addresses() -> list[tuple[str, str]]:
    """Return name and path of each address of admin and API, with the id of a row that there is."""

    def walk(patterns, prefix: str) -> Iterator[tuple[str, str]]:
        for pattern in patterns:
            path = prefix + str(pattern.pattern).lstrip("^")
            if isinstance(pattern, URLPattern):
                yield pattern.name or "", path.rstrip("$")
            else:
                yield from walk(pattern.url_patterns, path)

    return [
        (name, f"/{_filled(path)}")
        for name, path in walk(get_resolver().url_patterns, "")
        if path.startswith(("admin/", "api/")) and not path.startswith(("api/v1/", "api/brokers/"))
    ]


def _filled(path: str) -> str:
    """Return `path` with the primary keys of rows that there are."""
    of_model = {f"admin/{m._meta.app_label}/{m._meta.model_name}/": m for m in admin.site._registry}
    model = next((m for start, m in of_model.items() if path.startswith(start)), ImportJob)

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        row = (ProvisioningKey if name == "key_id" else model).objects.order_by("pk").first()
        return str(row.pk)

    return re.sub(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)", value, path)


def forms(path: str) -> Iterator[dict[str, object]]:
    """Yield what to send to `path`: to a list each action on its first row, else one form with many fields."""
    for model in admin.site._registry:
        if path == f"/admin/{model._meta.app_label}/{model._meta.model_name}/":
            for action in ("delete_selected", *(one.name for one in ACTIONS)):
                yield FIELDS | {"action": action, "_selected_action": [str(model.objects.order_by("pk").first().pk)]}
            return
    yield FIELDS


def changing(client: Client, methods: tuple[str, ...], left_out: set[str], **headers: str) -> set[str]:
    """Return at which addresses, except `left_out`, a statement writes to a table; what it wrote is undone."""
    found = set()

    def watch(execute, sql, params, many, context):
        if re.match(r"(INSERT|UPDATE|DELETE|WITH|REPLACE)\b", sql) and not NOT_COUNTED.search(sql):
            found.add(name)
        return execute(sql, params, many, context)

    for name, path in addresses():
        for method in methods if name not in left_out else ():
            for form in forms(path):
                sent = {"data": form} if method == "post" else {}
                before = transaction.savepoint()
                with connection.execute_wrapper(watch):
                    answer = getattr(client, method)(path, **sent, headers=headers)
                transaction.savepoint_rollback(before)
                assert answer.status_code < 500, f"{method} {path}"
    return found


def test_viewer_and_staff_without_rights_change_nothing(rows):
    nobody = Client()
    nobody.force_login(User.objects.create_user("nobody", is_staff=True), backend="django.contrib.auth.backends.ModelBackend")

    assert changing(client_of("Viewer"), ("post",), OWN) == set()
    assert changing(nobody, ("post",), OWN) == set()
    # The same requests do change things for users with the right.
    root = Client()
    root.force_login(User.objects.get(username="owner"), backend="django.contrib.auth.backends.ModelBackend")
    changed = changing(root, ("post",), OWN | CALLING)
    assert len(changed) > 15, changed


def test_token_that_may_only_read_changes_nothing_and_reveals_nothing(rows):
    owner = User.objects.get(username="owner")
    _, reader = token_create(owner=owner, scopes=["read"])
    _, writer = token_create(owner=owner, scopes=["admin"])
    client, names = Client(), {name for name, path in addresses() if not path.startswith("/api/")}

    assert changing(client, METHODS, names, Authorization=f"Bearer {reader}") == set()
    assert changing(client, METHODS, names, Authorization=f"Bearer {writer}") >= {"import-undo"}
    credentials = f"/api/imports/{ImportJob.objects.get().pk}/credentials.csv/"
    assert client.get(credentials, headers={"Authorization": f"Bearer {reader}"}).status_code == 403
    assert client.get(credentials, headers={"Authorization": f"Bearer {writer}"}).status_code == 200
