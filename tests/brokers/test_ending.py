"""Sessions of devices that may no longer connect end, through each broker's management API."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.utils import timezone

from brokers import ending, sessions
from brokers.models import Broker, BrokerKick, BrokerSession
from brokers.services import broker_create
from devices.bulk_services import devices_block, devices_delete
from devices.models import Device
from devices.services import device_create
from events.choices import Kind
from events.services import NewEvent, record
from profiles.services import profile_create

pytestmark = [pytest.mark.django_db, pytest.mark.database]
CONNECTIONS = [
    {"name": "127.0.0.1:5 -> 127.0.0.1:1883", "variable_map": {"client_id": "c 1/x"}},
    {"name": "127.0.0.1:6 -> 127.0.0.1:1883", "variable_map": {"client_id": "other"}},
    {"name": "127.0.0.1:7 -> 127.0.0.1:5672"},
]
# Method and path of the calls that end the session of client id "c 1/x".
EXPECTED = {
    "emqx": ["DELETE /api/v5/clients/c%201%2Fx"],
    "vernemq": ["GET /api/v1/session/disconnect?client-id=c%201%2Fx&--cleanup"],
    "rabbitmq": [
        "GET /api/connections?columns=name,variable_map.client_id",
        "DELETE /api/connections/127.0.0.1%3A5%20-%3E%20127.0.0.1%3A1883",
    ],
}


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.calls.append(f"{self.command} {self.path}")
        self.server.authorizations.add(self.headers["Authorization"])
        body = json.dumps(CONNECTIONS).encode() if self.command == "GET" else b""
        self.send_response(self.server.status or (200 if body else 204))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.calls, server.authorizations, server.status = [], set(), None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def device():
    profile, _ = profile_create(name="P", strategy="DISABLED")
    return device_create(name="DHT11-1", profile=profile)


def broker_of(kind, api):
    url = f"http://127.0.0.1:{api.server_port}"
    return broker_create(name=kind, kind=kind, management_url=url, management_user="key", management_password="secret-of-the-api")


def run():
    while ending.read_events():
        pass
    return ending.try_kicks()


@pytest.mark.parametrize("kind", sorted(EXPECTED))
@pytest.mark.parametrize("how", ["blocked", "deleted", "credentials"])
def test_session_ends(kind, how, api, device):
    broker = broker_of(kind, api)
    sessions.note(broker, "c 1/x", device)
    assert run() == 0
    rows = Device.objects.filter(pk=device.pk)
    if how == "blocked":
        devices_block(devices=rows)
    elif how == "deleted":
        devices_delete(devices=rows)
    else:
        record([NewEvent(Kind.CREDENTIALS_CHANGED, device.pk, device.profile_id)])
    # In a test all of this is one transaction, whose events a reader on PostgreSQL does not see yet.
    ending.plan_for({device.pk})

    assert ending.try_kicks() == 1
    assert api.calls == EXPECTED[kind]
    assert api.authorizations == {"Basic a2V5OnNlY3JldC1vZi10aGUtYXBp"}
    kick = BrokerKick.objects.get()
    assert (kick.client_id, kick.due_at, kick.problem) == ("c 1/x", None, "")
    assert kick.done_at


def test_failure_is_kept_and_tried_again(api, device):
    broker = broker_of("emqx", api)
    sessions.note(broker, "c", device)
    ending.plan_for({device.pk})
    api.status = 503
    assert ending.try_kicks() == 0

    kick = BrokerKick.objects.get()
    assert "503" in kick.problem
    assert kick.due_at > timezone.now()
    assert kick.tries == 1
    assert ending.try_kicks() == 0
    assert len(api.calls) == 1, "not due yet"

    api.status = None
    BrokerKick.objects.update(due_at=timezone.now())
    assert ending.try_kicks() == 1


@pytest.mark.parametrize(("kind", "client_id", "status"), [("emqx", "c 1/x", 404), ("rabbitmq", "not listed yet", None)])
def test_session_that_the_broker_does_not_show_yet_is_looked_for_again(kind, client_id, status, api, device):
    sessions.note(broker_of(kind, api), client_id, device)
    ending.plan_for({device.pk})
    api.status = status
    assert ending.try_kicks() == 0
    assert BrokerKick.objects.get().due_at > timezone.now()

    api.status = None
    BrokerKick.objects.update(due_at=timezone.now())
    assert ending.try_kicks() == (kind == "emqx")

    # One that never appears has ended by itself.
    BrokerKick.objects.update(due_at=timezone.now(), done_at=None, created_at=timezone.now() - ending.LOOKED_FOR)
    api.status = status
    assert ending.try_kicks() == 0
    kick = BrokerKick.objects.get()
    assert (kick.due_at, kick.problem) == (None, "")
    assert kick.done_at


def test_client_id_that_another_device_took_over_is_left_alone(api, device):
    broker = broker_of("emqx", api)
    sessions.note(broker, "c", device)
    ending.plan_for({device.pk})
    sessions.note(broker, "c", device_create(name="DHT11-2", profile=device.profile))

    assert ending.try_kicks() == 0
    assert api.calls == []


def test_reader_that_missed_events_ends_sessions_of_devices_that_are_blocked_or_gone(api, device):
    broker = broker_of("emqx", api)
    blocked, gone = (device_create(name=name, profile=device.profile) for name in ("b", "g"))
    for client_id, row in (("ok", device), ("blocked", blocked), ("gone", gone)):
        sessions.note(broker, client_id, row)
    Device.objects.filter(pk=blocked.pk).update(blocked=True)
    Device.objects.filter(pk=gone.pk).delete()

    run()
    assert set(BrokerKick.objects.values_list("client_id", flat=True)) == {"blocked", "gone"}


def test_broker_without_management_api_is_not_called(device):
    broker = broker_create(name="b", kind="emqx")
    sessions.note(broker, "c", device)
    ending.plan_for({device.pk})
    assert not BrokerKick.objects.exists()


def test_client_ids_of_one_device_are_bounded(device):
    broker = broker_create(name="b", kind="emqx")
    for number in range(sessions.KEPT_PER_DEVICE + 5):
        sessions.note(broker, f"c{number}", device)
    assert BrokerSession.objects.count() == sessions.KEPT_PER_DEVICE
    assert BrokerSession.objects.filter(client_id=f"c{sessions.KEPT_PER_DEVICE + 4}").exists()
    assert Broker.objects.count() == 1
