"""Devices over TLS, with and without a certificate of their own."""

import base64
import json
import ssl

import paho.mqtt.client as paho
import pytest

from tests.support.certificates import self_signed
from tests.support.mqtt import EchoBridge, EmbeddedBroker, gone
from tests.support.processes import free_port, wait_for

ADD_X509 = """
from devices.credentials import X509Certificate
from devices.services import device_create
from profiles.models import DeviceProfile
profile, _ = DeviceProfile.objects.get_or_create(name="tests")
device_create(name=given["name"], profile=profile, credentials=X509Certificate(given["pem"]))
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = EmbeddedBroker(tmp_path_factory.mktemp("broker"), MQTT_TLS_PORT=str(free_port()))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.server.output()


def tls_client(broker, certificate=None, key=None, **options):
    """Return a paho client that trusts the installation's CA; `reasons` has what the broker says to CONNECT."""
    one = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=options.pop("client_id", ""), protocol=paho.MQTTv311)
    one.tls_set(f"{broker.environment['FIRSTLIGHT_DATA']}/tls/ca.pem", certificate, key, tls_version=ssl.PROTOCOL_TLS_CLIENT)
    if username := options.pop("username", ""):
        one.username_pw_set(username)
    one.got, one.reasons = [], []
    one.on_message = lambda _client, _userdata, message: one.got.append(message.payload)
    one.on_connect = lambda _client, _userdata, _flags, reason, _properties: one.reasons.append(reason.getName())
    one.connect("localhost", int(broker.environment["MQTT_TLS_PORT"]))
    one.loop_start()
    wait_for(lambda: one.reasons, "CONNACK")
    return one


def stored(broker, one, name):
    one.publish("v1/devices/me/telemetry", json.dumps({"over": "TLS"}), qos=1).wait_for_publish(30)
    return broker.telemetry().get(name)


@pytest.mark.parametrize("client_id", ["", "provision", "any"])
def test_self_signed_certificate_admits_its_device(broker, tmp_path, client_id):
    name = f"x509 as {client_id or None}"
    certificate, key = self_signed(tmp_path, "device")
    broker.shell(ADD_X509, name=name, pem=certificate.read_text())

    device = tls_client(broker, certificate, key, client_id=client_id)

    assert device.reasons == ["Success"]
    assert stored(broker, device, name) == {"over": "TLS"}
    gone(device)


def test_unknown_certificate_is_refused(broker, tmp_path):
    certificate, key = self_signed(tmp_path, "nobody")

    stranger = tls_client(broker, certificate, key)

    assert stranger.reasons[0] == "Not authorized"
    stranger.loop_stop()


def test_token_admits_over_tls_whatever_the_certificate(broker, tmp_path):
    token = broker.add_device("token over TLS")

    for pair in ((None, None), self_signed(tmp_path, "unknown")):
        device = tls_client(broker, *pair, username=token)
        assert stored(broker, device, "token over TLS") == {"over": "TLS"}
        gone(device)


def test_certificate_is_no_password(broker, tmp_path):
    """Its text is public: as a user name it opens nothing."""
    certificate, _ = self_signed(tmp_path, "public")
    broker.shell(ADD_X509, name="public", pem=certificate.read_text())
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())

    stranger = tls_client(broker, username=base64.b64encode(der).decode())

    assert stranger.reasons[0] == "Not authorized"
    stranger.loop_stop()


def test_device_provisions_over_tls(broker):
    bridge = EchoBridge(broker.port)
    device = tls_client(broker, username="provision")

    device.publish("/provision/request", b"request")

    wait_for(lambda: device.got, "the reply")
    assert device.got == [b"echo request"]
    gone(device)
    bridge.stop()
