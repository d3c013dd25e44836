"""What the endpoint remembers of strangers is bounded."""

import asyncio
import logging
from types import SimpleNamespace

from aiocoap import POST, Message
from aiocoap.numbers import ContentFormat
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.numbers.types import ACK, CON

from transports.coap import endpoint
from transports.coap.endpoint import Exchanges


class FakeMessageInterface:
    """Replaces the socket, and keeps what is sent."""

    def __init__(self) -> None:
        self.sent = []

    def send_bytes(self, data, remote):
        self.sent.append(data)


def exchanges() -> Exchanges:
    made = Exchanges(SimpleNamespace(log=logging.getLogger("test"), loop=asyncio.new_event_loop()))
    made.message_interface = FakeMessageInterface()
    return made


def message(mid: int, mtype=CON, token=b"t", port=1, payload=b"") -> Message:
    made = Message(code=POST, payload=payload, _mid=mid, _mtype=mtype, _token=token)
    made.remote = SimpleNamespace(sockaddr=("::1", port, 0, 0))
    return made


def test_answered_requests_are_remembered_up_to_a_number(monkeypatch):
    monkeypatch.setattr(endpoint, "REMEMBERED_REQUESTS", 50)
    made = exchanges()
    for mid in range(200):
        assert made._deduplicate_message(message(mid)) is False
        made._store_response_for_duplicates(message(mid, ACK, payload=b"answer"))

    assert len(made._answers) == 50
    assert made._deduplicate_message(message(199)) is True
    assert len(made.message_interface.sent) == 1
    assert made._deduplicate_message(message(0)) is False


def test_message_ids_of_our_own_are_not_taken_for_the_peers():
    made = exchanges()
    made._deduplicate_message(message(7))
    made._store_response_for_duplicates(message(7, CON, payload=b"separate answer of another request"))

    assert made._deduplicate_message(message(7)) is True
    assert made.message_interface.sent == []


def test_numbers_that_strangers_made_up_are_forgotten():
    for number in range(100_000, 103_000):
        OptionNumber(number)
        ContentFormat(number)

    endpoint._forget_unnamed_numbers()

    assert len(OptionNumber._value2member_map_) < 100
    assert len(ContentFormat._value2member_map_) < 200
    assert OptionNumber(11) is OptionNumber.URI_PATH
    assert ContentFormat(50) is ContentFormat.JSON
