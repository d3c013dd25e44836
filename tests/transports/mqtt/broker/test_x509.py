"""Devices over TLS, with and without a certificate of their own."""

import base64
import hashlib
import json
import ssl
import sys

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.certificates import self_signed
from tests.support.mqtt import EchoBridge, EmbeddedBroker, connected, gone
from tests.support.processes import Server, free_port, wait_for
from tests.support.web import ROOT, create_profile

ADD_X509 = """
from devices.credentials import X509Certificate
from devices.services import device_create
from profiles.models import DeviceProfile
profile, _ = DeviceProfile.objects.get_or_create(name="tests")
device_create(name=given["name"], profile=profile, credentials=X509Certificate(given["pem"]))
"""
CREDENTIALS = """
from devices.models import DeviceCredentials
result = dict(DeviceCredentials.objects.filter(device__profile__name="x509").values_list("device__name", "type"))
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = EmbeddedBroker(tmp_path_factory.mktemp("broker"), MQTT_TLS_PORT=str(free_port()))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.server.output()


def tls_client(broker, certificate=None, key=None, **options):
    """Return a paho client that trusts the installation's CA; `reasons` has what the broker says to CONNECT."""
    protocol = options.pop("protocol", paho.MQTTv311)
    one = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=options.pop("client_id", ""), protocol=protocol)
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


@pytest.fixture
def own_bridge(broker):
    bridge = Server([sys.executable, "manage.py", "mqtt_bridge"], broker.server.log.parent / "b.log", broker.environment, ROOT)
    seen = broker.server.output().count("A bridge has connected")
    wait_for(lambda: broker.server.output().count("A bridge has connected") > seen or not bridge.alive, "the bridge")
    assert bridge.alive, bridge.output()
    yield
    bridge.stop()


def status(one, profile, name, certificate, properties=None):
    """Return the status of the reply to a device that names `certificate`."""
    pair = {"provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]}
    named = {"deviceName": name, "credentialsType": "X509_CERTIFICATE", "hash": certificate.read_text()}
    one.got.clear()
    one.publish("/provision/request", json.dumps(pair | named), qos=1, properties=properties)
    wait_for(lambda: one.got, "the reply")
    return json.loads(one.got[0])["status"]


def test_provisioning_over_tls_with_the_certificate_proves_it_and_naming_it_does_not(broker, own_bridge, tmp_path):
    profile = create_profile(broker.environment, "x509")
    certificate, key = self_signed(tmp_path, "owner")
    digest = hashlib.sha3_256(base64.b64encode(ssl.PEM_cert_to_DER_cert(certificate.read_text()))).hexdigest()
    forged = Properties(PacketTypes.PUBLISH)
    forged.UserProperty = ("client-certificate", digest)
    plain = connected(broker.port, username="provision")
    over_tls = tls_client(broker, *self_signed(tmp_path, "thief"), username="provision", protocol=paho.MQTTv5)
    owner = tls_client(broker, certificate, key, username="provision")
    plain.on_message = lambda _client, _userdata, message: plain.got.append(message.payload)

    assert status(plain, profile, "names it", certificate) == "SUCCESS"
    assert status(over_tls, profile, "names it, and proves another", certificate, forged) == "SUCCESS"
    assert set(broker.shell(CREDENTIALS).values()) == {"X509_CERTIFICATE"}
    assert status(owner, profile, "owner", certificate) == "SUCCESS"
    assert status(plain, profile, "names it late", certificate) == "FAILURE"

    assert broker.shell(CREDENTIALS) == {
        "names it": "ACCESS_TOKEN",
        "names it, and proves another": "ACCESS_TOKEN",
        "owner": "X509_CERTIFICATE",
    }
    device = tls_client(broker, certificate, key, client_id="any")
    assert stored(broker, device, "owner") == {"over": "TLS"}
    for one in (plain, over_tls, owner, device):
        gone(one)
