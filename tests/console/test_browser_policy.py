"""The headers that limit what our pages may do in the browser."""

import pytest
from django.urls import reverse

from tests.support.operators import client_of

pytestmark = pytest.mark.django_db


def test_pages_allow_nothing_inline_and_no_foreign_host():
    policy = client_of("Administrator").get(reverse("admin:index"))["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy + ";"
    assert "unsafe" not in policy
    assert "http" not in policy


def test_devices_are_sent_no_policy(client):
    assert "Content-Security-Policy" not in client.get("/healthz")
