"""From a message to its answer: the pure part of the bridge. It neither knows a broker nor waits for the database."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from provisioning.choices import Transport
from transports.codecs import JSON
from transports.handler import Reply, ReplyKind, ReplySize
from transports.mqtt.bridge import probe_messages
from transports.mqtt.bridge.messages import Answer, Message, Outcome
from transports.mqtt.bridge.packet_size import reply_size
from transports.mqtt.bridge.topics import Topics
from transports.mqtt.client_ids import address_of, proven_certificate


class Handle(Protocol):
    """transports.handler.handle is one."""

    def __call__(
        self, body: bytes, transport: Transport, address: str, *, size: ReplySize, certificate: str = ""
    ) -> "Future[Reply]": ...


@dataclass(frozen=True, slots=True)
class ReplyPolicy:
    """How this bridge answers. `shared` says whether it may answer on the topic that all devices share.

    `addressed` says that client ids hold the clients' addresses, as the embedded broker makes them.
    """

    topics: Topics
    shared: bool
    handle: Handle
    addressed: bool = False

    def response_topic(self, message: Message) -> str:
        """Return where the answer to `message` goes; "" when it gets none.

        A retained message is one from the past, delivered to every new subscription: its sender waits no more.
        """
        if message.retained:
            return ""
        client_id = self.topics.client_of(message.topic)
        on_shared = bool(self.topics.shared_request) and message.topic == self.topics.shared_request
        if not client_id and not on_shared:
            return ""
        if chosen := self.topics.chosen_response(message.response_topic, client_id):
            return chosen
        if client_id:
            return self.topics.own_response(client_id)
        return self.topics.shared_response if self.shared else ""

    def answer_probe(self, message: Message) -> Answer | None:
        """Return the answer to a probe of one of this installation's bridges, None when `message` is not one."""
        prober = probe_messages.prober(message.body)
        if not prober:
            return None
        # Never on the shared topic: a device that waits there would take it for its own answer.
        topic = self.topics.own_response(self.topics.client_of(message.topic) or prober)
        return Answer(topic, probe_messages.answer(prober))

    def reply_to(self, message: Message, topic: str) -> "Future[Reply]":
        """Return a future of the reply, which will go to `topic`. It never fails."""
        if not self.addressed:
            return self.handle(message.body, Transport.MQTT, "", size=reply_size(topic, message.correlation, 0))
        # The embedded broker delivers it on the topic that all devices share, or says how much longer the device's own is.
        expected = self.topics.shared_response or topic
        size = reply_size(expected, message.correlation, message.max_packet, message.reply_overhead)
        client_id = self.topics.client_of(message.topic)
        certificate = proven_certificate(client_id, message.certificate) if message.certificate else ""
        return self.handle(message.body, Transport.MQTT, address_of(client_id), size=size, certificate=certificate)


def to_outcome(reply: Reply, message: Message, topic: str) -> Outcome:
    """Return what goes to the device. While the database is unavailable the request is held."""
    if reply.kind == ReplyKind.UNAVAILABLE:
        return Outcome(held=True)
    if reply.kind == ReplyKind.UNSENDABLE:
        return Outcome()
    return Outcome(Answer(topic, reply.body, message.correlation))


def failure_reply(message: Message, topic: str) -> Answer:
    """Return the answer to a request that met an error of ours."""
    return Answer(topic, JSON.encode_error("Failed to provision device!"), message.correlation)
