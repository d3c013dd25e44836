"""API tokens: shown once, stored as a hash, limited by scope, expiry and their owner's rights."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from api.authentication import TokenAuthentication
from api.choices import Scope
from api.models import ApiToken
from api.permissions import Access, HasAccess
from api.services import MARK, token_authenticate, token_create, token_revoke
from tests.support.provisioning import database_text

pytestmark = pytest.mark.django_db


class Door(APIView):
    """A view that needs a scope and a right to write, and only a scope to read."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = (HasAccess,)
    access = {
        "GET": Access((Scope.READ,)),
        "POST": Access((Scope.DEVICES_WRITE, Scope.IMPORTS_WRITE), ("devices.add_device",)),
    }

    def get(self, request):
        return Response({"user": request.user.username})

    def post(self, request):
        return Response({"token": str(request.auth)})

    def put(self, request):
        raise AssertionError("no entry in `access`, so this is never reached")


@pytest.fixture
def ada():
    user = User.objects.create_user("ada")
    user.user_permissions.add(Permission.objects.get(codename="add_device", content_type__app_label="devices"))
    return user


def call(method="get", **headers):
    request = getattr(APIRequestFactory(), method)("/", headers=headers)
    return Door.as_view()(request)


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def test_token_is_stored_as_a_hash_only(ada):
    token, text = token_create(owner=ada, scopes=["read"], name="Factory")

    everything = database_text()
    assert token.prefix in everything
    assert text.startswith(f"{MARK}")
    assert text.startswith(token.prefix)
    assert text not in everything
    assert text.removeprefix(token.prefix) not in everything
    assert text.removeprefix(token.prefix) not in f"{token!r} {token}"


@pytest.mark.parametrize(
    "headers",
    [
        lambda text: {"Authorization": f"Bearer {text}"},
        lambda text: {"X-Authorization": f"Bearer {text}"},
        lambda text: {"X-Authorization": f"ApiKey {text}"},
    ],
)
def test_token_is_taken_from_each_header(ada, headers):
    _, text = token_create(owner=ada, scopes=["read"])

    answer = call(**headers(text))

    assert (answer.status_code, answer.data) == (200, {"user": "ada"})


@pytest.mark.parametrize("change", ["nothing presented", "cut", "changed", "expired", "revoked", "owner inactive", "prefix only"])
def test_what_is_no_live_token_is_answered_401(ada, change):
    token, text = token_create(owner=ada, scopes=["admin"])
    match change:
        case "cut":
            text = text[:-1]
        case "changed":
            text = text[:-1] + ("a" if text[-1] != "a" else "b")
        case "expired":
            ApiToken.objects.update(expires_at=timezone.now())
        case "revoked":
            token_revoke(token=token)
        case "owner inactive":
            User.objects.update(is_active=False)
        case "prefix only":
            text = token.prefix

    answer = call(**({} if change == "nothing presented" else bearer(text)))

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_call_needs_the_scope_and_the_right_of_the_owner(ada):
    _, reader = token_create(owner=ada, scopes=["read"])
    _, importer = token_create(owner=ada, scopes=["imports:write"])
    _, all_scopes = token_create(owner=ada, scopes=["admin"])
    _, stranger = token_create(owner=User.objects.create_user("eve"), scopes=["admin"])

    assert [call("post", **bearer(text)).status_code for text in (reader, importer, all_scopes, stranger)] == [403, 200, 200, 403]
    assert [call("get", **bearer(text)).status_code for text in (reader, importer)] == [200, 403]


def test_rights_that_the_owner_lost_are_lost_to_the_token(ada):
    _, text = token_create(owner=ada, scopes=["devices:write"])
    ada.user_permissions.clear()

    assert call("post", **bearer(text)).status_code == 403


def test_method_without_an_entry_is_forbidden():
    owner = User.objects.create_superuser("root")
    _, text = token_create(owner=owner, scopes=["admin"])

    assert call("put", **bearer(text)).status_code == 403
    assert call("delete", **bearer(text)).status_code == 405


def test_session_of_a_browser_has_the_rights_of_its_user(ada):
    request = APIRequestFactory().post("/")
    force_authenticate(request, ada)

    assert Door.as_view()(request).status_code == 200


def test_use_is_noted_once_a_minute(ada):
    token, text = token_create(owner=ada, scopes=["read"])
    assert token.last_used_at is None

    token_authenticate(text)
    token.refresh_from_db()
    first = token.last_used_at
    token_authenticate(text)
    token.refresh_from_db()
    assert token.last_used_at == first

    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    token_authenticate(text)
    token.refresh_from_db()
    assert token.last_used_at >= first


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"scopes": []}, "scopes"), ({"scopes": ["write"]}, "scopes"), ({"days": 0}, "days"), ({"days": 3651}, "days")],
)
def test_token_that_makes_no_sense_is_refused(ada, fields, field):
    with pytest.raises(ValidationError) as caught:
        token_create(owner=ada, **({"scopes": ["read"]} | fields))

    assert field in caught.value.message_dict
    assert not ApiToken.objects.exists()


def test_command_prints_a_token_that_works(ada):
    out = StringIO()
    call_command("create_api_token", "ada", "--scope", "read", "imports:write", "--scope", "admin", "--json", stdout=out)

    printed = json.loads(out.getvalue().splitlines()[-1])
    assert list(printed) == ["id", "token", "prefix", "expires"]
    token = ApiToken.objects.get()
    assert (str(token.id), token.prefix, token.expires_at.isoformat()) == (printed["id"], printed["prefix"], printed["expires"])
    assert token.scopes == ["read", "imports:write", "admin"]
    assert timedelta(days=89) < token.expires_at - timezone.now() <= timedelta(days=90)
    assert token_authenticate(printed["token"]) == token


def test_command_refuses_what_it_cannot_make(ada):
    for arguments in (("eve", "--scope", "read"), ("ada", "--scope", "read", "--expires", "0"), ("ada", "--scope", "write")):
        with pytest.raises(CommandError):
            call_command("create_api_token", *arguments)
    assert not ApiToken.objects.exists()
