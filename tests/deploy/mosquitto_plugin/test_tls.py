"""X.509 on a listener of its own, with a chain that Mosquitto verifies."""

import base64
import ssl
from pathlib import Path

import paho.mqtt.client as paho
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.enums import CallbackAPIVersion

from tests.deploy.mosquitto_plugin.conftest import MakeBroker
from tests.support.broker_feed import FeedDevice, FeedServer
from tests.support.mosquitto import certificates
from tests.support.mqtt import gone
from tests.support.processes import free_port, listens, wait_for


def body_of(certificate: Path) -> str:
    return base64.b64encode(x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)).decode()


def over_tls(port: int, files: dict[str, Path], name: str, **options: str) -> paho.Client:
    """Connect with the client certificate `name`; returns the client once the broker has answered."""
    one = paho.Client(CallbackAPIVersion.VERSION2, client_id=options.get("client_id", ""))
    one.tls_set(str(files["ca.crt"]), str(files[f"{name}.crt"]), str(files[f"{name}.key"]), tls_version=ssl.PROTOCOL_TLS_CLIENT)
    if "username" in options:
        one.username_pw_set(options["username"])
    answers: list[bool] = []
    one.on_connect = lambda _client, _userdata, _flags, reason, _properties: answers.append(not reason.is_failure)
    one.connect("localhost", port)
    one.loop_start()
    wait_for(lambda: answers, "CONNACK")
    one.admitted = answers[0]
    return one


def test_a_client_certificate_admits_its_device(make_broker: MakeBroker, feed: FeedServer, tmp_path: Path):
    files = certificates(tmp_path)
    device = FeedDevice("with certificate", certificate=body_of(files["bridge.crt"]))
    feed.put(device, FeedDevice("by token", token="token-1"))
    port = free_port()
    broker = make_broker(
        configuration=f"listener {port} 127.0.0.1\nrequire_certificate true\ncafile {files['ca.crt']}\n"
        f"certfile {files['localhost.crt']}\nkeyfile {files['localhost.key']}"
    )
    broker.wait_for_log("a new list of")
    wait_for(lambda: listens(port), "the TLS listener")

    known = over_tls(port, files, "bridge")
    assert known.admitted
    gone(known)
    stranger = over_tls(port, files, "localhost")  # of the same authority, and no device's
    assert not stranger.admitted
    gone(stranger)
    by_token = over_tls(port, files, "localhost", username="token-1")
    assert by_token.admitted
    gone(by_token)

    twin = FeedDevice("twin", certificate=device.certificate)
    feed.put(twin)
    wait_for(lambda: "".join(feed.events[2:]) == twin.line, "the second claim")
    wait_for(lambda: twin.key in broker.replica.read_text(), "the second claim in the replica")
    ambiguous = over_tls(port, files, "bridge")
    assert not ambiguous.admitted
    gone(ambiguous)
    named = over_tls(port, files, "bridge", client_id="twin")
    assert named.admitted
    gone(named)
