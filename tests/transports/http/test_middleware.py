"""What devices ask goes straight to its view, and keeps what the middleware for people did for it."""

import pytest
from django.test import Client

from tests.support.provisioning import creating

pytestmark = pytest.mark.django_db(transaction=True)


def post(path, client=None, **headers):
    return (client or Client()).post(path, data={}, content_type="application/json", **headers)


def test_device_gets_no_session_and_no_cookie(django_user_model):
    browser = Client()
    browser.force_login(django_user_model.objects.create_user("operator"))
    answer = post("/api/v1/provision", browser)

    assert not answer.cookies
    assert not hasattr(answer.wsgi_request, "session")
    assert "Vary" not in answer.headers


@pytest.mark.parametrize("host", ["foreign.example", "192.0.2.1:8080", "not a host!", ""])
def test_host_header_of_a_device_is_not_checked(host):
    assert post("/api/v1/provision", headers={"host": host}).json()["errorMsg"] == "provisionDeviceKey is missing."
    assert post("/api/v1/nothing", headers={"host": host}).status_code == 404


def test_host_header_of_a_browser_is_checked():
    assert Client().get("/admin/login/", headers={"host": "foreign.example"}).status_code == 400


def test_unknown_path_is_answered_in_the_devices_form():
    answer = post("/api/v1/nothing")

    assert (answer.status_code, answer.json()["errorMsg"]) == (404, "No such path.")


@pytest.mark.parametrize("method", ["get", "post"])
def test_answer_has_a_length_and_is_not_sniffed(method):
    answer = getattr(Client(), method)("/api/v1/provision")

    assert int(answer.headers["Content-Length"]) == len(answer.content) > 0
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_view_that_fails_is_an_error_of_the_server(monkeypatch, caplog):
    def explode(*_args, **_more):
        raise RuntimeError("boom")

    monkeypatch.setattr("transports.http.views.read_body", explode)
    key = creating()
    answer = post("/api/v1/provision", Client(raise_request_exception=False))

    assert (answer.status_code, answer.json()["errorMsg"]) == (500, "An error of the server.")
    assert key.secret not in caplog.text
