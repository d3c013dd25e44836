"""Parts of a bridge for tests without a broker."""

from concurrent.futures import Future

from provisioning.choices import Transport
from transports.codecs import JSON
from transports.handler import Reply, ReplyKind, ReplySize, unavailable
from transports.mqtt.bridge.inflight import InflightRequest
from transports.mqtt.bridge.messages import Answer
from transports.mqtt.bridge.topics import Topics

TOPICS = Topics("/provision/request/{client_id}", "/provision/response/{client_id}")
OWN = "/provision/request/d1"


class HeldRequests:
    """Replaces the handler: keeps the futures, for the test to answer."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, Future[Reply]]] = []

    def __call__(
        self, body: bytes, transport: Transport, address: str, *, size: ReplySize, certificate: str = ""
    ) -> "Future[Reply]":
        assert (transport, address) == (Transport.MQTT, "")
        self.requests.append((body, Future()))
        return self.requests[-1][1]

    def answer(self, index: int = -1, kind: ReplyKind = ReplyKind.SUCCESS) -> None:
        body, future = self.requests[index]
        future.set_result(unavailable() if kind == ReplyKind.UNAVAILABLE else Reply(kind, b"re " + body, JSON, "id"))


class ReplyChannel:
    """Replaces a connection: records what is sent through it."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, bytes | None]] = []
        self.under_way: list[InflightRequest] = []
        self.acknowledged: list[int] = []

    def publish(self, request: InflightRequest, answer: Answer) -> None:
        self.published.append((answer.topic, answer.body, answer.correlation))
        self.under_way.append(request)

    def acknowledge(self, mid: int) -> None:
        self.acknowledged.append(mid)
