"""What the client id of a request gives the handler: its source and the size of its reply."""

from concurrent.futures import Future

import pytest

from provisioning.choices import Transport
from tests.support.bridge import TOPICS
from transports.handler import Reply, ReplySize
from transports.mqtt.bridge.messages import Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.client_ids import signed_certificate


@pytest.mark.parametrize(
    ("addressed", "wanted"), [(True, 256 - 27), (False, 256 - 8 - len("/provision/response/k3y.1@192.0.2.7"))]
)
def test_size_counts_the_topic_on_which_the_device_hears_it(addressed, wanted):
    sizes = []

    def handle(_body: bytes, transport: Transport, source: str, *, size: ReplySize, certificate: str = "") -> "Future[Reply]":
        sizes.append(size)
        return Future()

    message = Message(TOPICS.request.replace("{client_id}", "k3y.1@192.0.2.7"), b"{}", max_packet=300)
    policy = ReplyPolicy(TOPICS, shared=False, handle=handle, addressed=addressed)
    policy.reply_to(message, policy.response_topic(message))
    assert sizes == [ReplySize(wanted, 300 - 27 if addressed else None)]


@pytest.mark.parametrize(("addressed", "address"), [(True, "192.0.2.7"), (False, "")])
def test_client_id_of_the_embedded_broker_has_the_address_and_another_brokers_has_not(addressed, address):
    calls = []

    def handle(_body: bytes, transport: Transport, source: str, *, size: ReplySize, certificate: str = "") -> "Future[Reply]":
        calls.append((transport, source))
        return Future()

    request = TOPICS.request.replace("{client_id}", "k3y.1@192.0.2.7")
    ReplyPolicy(TOPICS, shared=False, handle=handle, addressed=addressed).reply_to(Message(request, b"{}"), "/reply")
    assert calls == [(Transport.MQTT, address)]


@pytest.mark.parametrize(
    ("addressed", "signed_for", "passed_on"),
    [(True, "k3y.1@192.0.2.7", "d1g3st"), (True, "0th3r@192.0.2.7", ""), (True, "", ""), (False, "k3y.1@192.0.2.7", "")],
)
def test_certificate_counts_only_as_the_embedded_broker_signed_it_for_this_client(addressed, signed_for, passed_on):
    certificates = []

    def handle(_body: bytes, transport: Transport, source: str, *, size: ReplySize, certificate: str = "") -> "Future[Reply]":
        certificates.append(certificate)
        return Future()

    signed = signed_certificate(signed_for, "d1g3st") if signed_for else "d1g3st"
    message = Message(TOPICS.request.replace("{client_id}", "k3y.1@192.0.2.7"), b"{}", certificate=signed)
    ReplyPolicy(TOPICS, shared=False, handle=handle, addressed=addressed).reply_to(message, "/reply")
    assert certificates == [passed_on]
