"""Log lines: JSON for machines, with the request id that the attempt also has."""

import io
import json
import logging
import logging.config

import pytest
from django.test import RequestFactory

from config.log_format import logging_config
from tests.support.web import Web, create_profile, manage


@pytest.fixture
def lines():
    """Return what is logged, as text, under a given form; logging is put back afterwards."""
    written = io.StringIO()

    def start(*, as_json: bool) -> io.StringIO:
        config = logging_config(as_json=as_json, level="INFO")
        config["handlers"]["console"]["stream"] = written
        logging.config.dictConfig(config)
        return written

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield start
    root.handlers[:], root.level = handlers, level


def test_periodic_tasks_are_not_logged_but_their_failures_are(lines):
    written = lines(as_json=False)

    logging.getLogger("celery.beat").info("Sending due task")
    logging.getLogger("celery.app.trace").error("Task raised unexpectedly")

    (line,) = written.getvalue().splitlines()
    assert "Task raised unexpectedly" in line


def test_exception_in_json_is_one_object_on_one_line(lines):
    written = lines(as_json=True)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("some.place").exception("It failed for %s", "DHT11-ü", extra={"request_id": "abc"})

    (line,) = written.getvalue().splitlines()
    result = json.loads(line)
    assert result["message"] == "It failed for DHT11-ü"
    assert (result["level"], result["logger"], result["request_id"]) == ("ERROR", "some.place", "abc")
    assert "ValueError: two\nlines" in result["exc_info"]
    assert result["time"].endswith("+00:00")
    assert isinstance(result["pid"], int)


def test_request_on_a_record_is_not_written(lines):
    written = lines(as_json=True)
    request = RequestFactory().post("/api/v1/s3cret-token/telemetry")

    logging.getLogger("django.request").error("Failed", extra={"request": request, "status_code": 500})

    result = json.loads(written.getvalue())
    assert result["status_code"] == 500
    assert "s3cret-token" not in written.getvalue()


def test_answers_that_say_unavailable_are_not_logged_and_errors_of_ours_are(lines):
    written = lines(as_json=False)

    for status in (503, 500):
        logging.getLogger("django.request").error("Answered", extra={"status_code": status})

    assert written.getvalue().count("Answered") == 1


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/s3cret/telemetry",
        "/api/v1/s3cret/s3cret/attributes",
        "/api/v1/with s3cret blanks/telemetry",
        "/api/v1/a/telemetry/s3cret/telemetry",
        "/api/v1/provision-s3cret/attributes",
        "/api/v1/s3cret/telemetri",
    ],
)
def test_device_token_in_a_path_is_not_written(lines, as_json, path):
    written = lines(as_json=as_json)

    logging.getLogger("django.request").error("Internal Server Error: %s", path)
    logging.getLogger("uvicorn.access").error('[date] 192.0.2.1 - "POST %s HTTP/1.1" 200', path)

    first, second = written.getvalue().splitlines()
    assert "Internal Server Error: /api/v1/…" in first
    assert "192.0.2.1" in second
    assert "HTTP/1.1" in second
    assert "s3cret" not in written.getvalue()


def test_provision_path_is_written(lines):
    written = lines(as_json=False)
    logging.getLogger("django.request").error("Internal Server Error: %s", "/api/v1/provision")
    assert written.getvalue().endswith("Internal Server Error: /api/v1/provision\n")


def test_terminal_gets_readable_lines(lines):
    written = lines(as_json=False)
    logging.getLogger("some.place").warning("It rains")
    assert written.getvalue().endswith(" WARNING some.place: It rains\n")


def test_every_line_of_a_web_process_is_json_and_names_the_request_of_the_attempt(tmp_path):
    web = Web(tmp_path, LOG_FORMAT="json")
    try:
        profile = create_profile(web.environment, "sensors")
        refused = web.provision(provisionDeviceKey=profile["key"], provisionDeviceSecret="wrong-secret-wrong", deviceName="a")
        command = "from provisioning.models import ProvisionAttempt as A; print(A.objects.get().request_id)"
        attempt = manage(web.environment, "shell", "-v", "0", "-c", command).strip()
    finally:
        web.server.stop()

    result = [json.loads(line) for line in web.server.output().splitlines()]
    (line,) = [line for line in result if line["logger"] == "transports.handler"]
    assert line["request_id"] == refused.headers["x-request-id"] == attempt
    assert "wrong-secret-wrong" not in web.server.output()
