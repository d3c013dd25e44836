"""The pages of API tokens: made by everybody for themselves, shown once, revoked."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from api.models import ApiToken
from api.services import token_authenticate, token_create
from tests.support.operators import client_of, operator
from tests.support.provisioning import database_text

pytestmark = pytest.mark.django_db

LIST, ADD, MADE = (reverse(f"admin:api_apitoken_{name}") for name in ("changelist", "add", "made"))
FORM = {"name": "Factory", "scopes": ["read", "imports:write"], "days": "30"}


def test_token_is_made_shown_once_and_works():
    client = client_of("Viewer")

    page = client.post(ADD, FORM, follow=True)
    text = re.search(r"fl_[A-Za-z0-9]{51}", page.content.decode()).group()

    token = token_authenticate(text)
    assert (token.owner.username, token.name, token.scopes) == ("viewer", "Factory", ["read", "imports:write"])
    assert "no-store" in page.headers["Cache-Control"]
    assert "shown already" in client.get(MADE).content.decode()
    assert text not in database_text()
    for url in (LIST, reverse("admin:api_apitoken_history", args=(token.pk,))):
        assert text not in client.get(url).content.decode()


def test_session_holds_no_token_in_clear_before_it_is_shown():
    client = client_of("Viewer")

    client.post(ADD, FORM)

    assert ApiToken.objects.get().prefix in database_text()
    assert "fl_" not in str(client.session["token_to_show"])


def test_token_whose_encryption_key_is_gone_is_not_shown_and_no_error(settings):
    client = client_of("Viewer")
    client.post(ADD, FORM)
    settings.ENCRYPTION_KEYS = ["BhKPHk4w0lZqWZoDbV1oJ5vS0cD7mO6b2cYc8w0Q3zE="]

    assert "shown already" in client.get(MADE).content.decode()


@pytest.mark.parametrize("fields", [{"scopes": []}, {"scopes": ["write"]}, {"days": "0"}, {"days": ""}])
def test_form_that_makes_no_sense_is_shown_again(fields):
    assert client_of("Viewer").post(ADD, FORM | fields).status_code == 200
    assert not ApiToken.objects.exists()


def test_operator_sees_and_revokes_only_their_own(client):
    others, _ = token_create(owner=operator("Administrator"), scopes=["admin"], name="Of the administrator")
    client = client_of("Operator")
    client.post(ADD, FORM)
    own = ApiToken.objects.get(name="Factory")

    page = client.get(LIST).content.decode()
    assert own.prefix in page
    assert others.prefix not in page
    client.post(reverse("admin:api_apitoken_delete", args=(others.pk,)), {"post": "yes"})
    client.post(LIST, {"action": "delete_selected", "_selected_action": [str(others.pk)], "post": "yes"})
    assert ApiToken.objects.filter(pk=others.pk).exists()

    client.post(reverse("admin:api_apitoken_delete", args=(own.pk,)), {"post": "yes"})
    assert not ApiToken.objects.filter(pk=own.pk).exists()


def test_administrator_revokes_anybodys_token_and_the_log_of_changes_shows_no_secret():
    client = client_of("Administrator")
    _, text = token_create(owner=operator("Operator"), scopes=["read"], name="Lost")
    token = ApiToken.objects.get()

    client.post(LIST, {"action": "delete_selected", "_selected_action": [str(token.pk)], "post": "yes"})

    assert not ApiToken.objects.exists()
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.change_message) == (f"Lost ({token.prefix}…)", "Revoked.")
    assert text.removeprefix(token.prefix) not in database_text()
