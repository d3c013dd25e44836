"""A password typed as user name is not kept."""

import logging

import pytest
from axes.models import AccessAttempt
from django.test import Client
from django.urls import reverse

from tests.support.operators import client_of, operator
from tests.support.provisioning import database_text

pytestmark = pytest.mark.django_db

TYPED = "my-s3cret-Passw0rd"


def login(username, password="wrong"):
    return Client().post(reverse("admin:login"), {"username": username, "password": password})


def test_name_of_no_user_is_kept_as_a_digest_only(caplog):
    with caplog.at_level(logging.DEBUG):
        for _ in range(2):
            login(TYPED)

    row = AccessAttempt.objects.get()
    assert row.username.startswith("unknown user ")
    assert row.failures_since_start == 2
    assert TYPED not in database_text()
    assert TYPED not in "\n".join(record.getMessage() for record in caplog.records if record.name != "django.db.backends")
    page = client_of("Administrator").get(reverse("admin:axes_accessattempt_changelist")).content.decode()
    assert row.username in page
    assert TYPED not in page


def test_unknown_name_is_locked_out_like_any_other():
    answers = [login(TYPED).status_code for _ in range(6)]

    assert answers == [200] * 4 + [429] * 2
    assert login("somebody else").status_code == 200


def test_name_of_a_user_is_kept():
    operator("Viewer")
    login("viewer")

    assert AccessAttempt.objects.get().username == "viewer"
