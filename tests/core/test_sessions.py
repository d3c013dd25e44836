"""Sessions at rest: the database holds nothing that takes over a login."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.sessions import SessionStore, stored_key
from tests.support.provisioning import database_text

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client():
    client = Client()
    client.force_login(User.objects.create_superuser("ada", "", "correct-horse-7"))
    return client


def cookie_of(client):
    return client.cookies["sessionid"].value


def test_database_has_no_session_key_and_the_cookie_opens_the_session(client):
    key = cookie_of(client)

    assert client.get(reverse("admin:index")).status_code == 200
    assert Session.objects.get().session_key == stored_key(key)
    assert key not in database_text()


def test_what_the_database_has_is_no_session_key(client):
    thief = Client()
    thief.cookies["sessionid"] = Session.objects.get().session_key

    assert thief.get(reverse("admin:index")).status_code == 302


def test_logout_and_a_new_login_end_the_old_session(client):
    key = cookie_of(client)
    client.post(reverse("admin:logout"))

    old = Client()
    old.cookies["sessionid"] = key
    assert old.get(reverse("admin:index")).status_code == 302
    assert not SessionStore().exists(key)


def test_expired_session_is_not_loaded(client):
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    assert client.get(reverse("admin:index")).status_code == 302
    SessionStore.clear_expired()
    assert not Session.objects.exists()


def test_key_that_a_client_made_up_becomes_no_session():
    store = SessionStore("made-up-by-a-client")
    store["x"] = 1
    store.save()

    assert store.session_key != "made-up-by-a-client"
    assert SessionStore(store.session_key)["x"] == 1


def test_asynchronous_calls_store_the_same_digest():
    async def run():
        store = SessionStore()
        await store.aset("x", 1)
        await store.asave()
        key = store.session_key
        assert await store.aexists(key)
        assert await SessionStore(key).aget("x") == 1
        return key

    key = async_to_sync(run)()
    assert Session.objects.get().session_key == stored_key(key)
    async_to_sync(SessionStore(key).adelete)()
    assert not Session.objects.exists()
