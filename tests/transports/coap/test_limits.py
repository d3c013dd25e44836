"""Guessing over CoAP: a peer that has used up its guesses is served once it has proved its address."""

import json
from collections.abc import Iterator

import pytest
from aiocoap import Code

from tests.transports.coap.service import CoapService, Peer, request

pytestmark = pytest.mark.database
GUESSES = 3


@pytest.fixture(scope="module")
def limited() -> Iterator[CoapService]:
    """A server that allows three wrong guesses a minute from one source."""
    service = CoapService(GUESSES_PER_SOURCE=str(GUESSES))
    try:
        service.prepare()
        service.start()
        yield service
    finally:
        service.close()


class Requests:
    """Requests with a message id and token of their own each."""

    def __init__(self, peer: Peer) -> None:
        self._peer, self._mid = peer, 0

    def ask(self, body, *path, **options):
        self._mid += 1
        where = {"path": ("api", "v1", *path)} if path else {}
        return self._peer.ask(request(body, mid=self._mid, **where, **options))


def until(ask, wanted, tries=4 * (GUESSES + 1)):
    """Return the first answer with the code `wanted`, and how many came before. The minute of the counts may end meanwhile."""
    for before in range(tries):
        answer = ask(before)
        if answer.code == wanted:
            return answer, before
    raise AssertionError(f"{tries} answers, and none was {wanted}")


def test_source_that_guesses_keys_proves_its_address_and_is_served(limited):
    profile = limited.create_profile("guessed")
    with Peer(limited) as peer:
        ask = Requests(peer).ask
        wrong = profile | {"provisionDeviceSecret": "wrong"}
        challenge, before = until(lambda _: ask(wrong), Code.UNAUTHORIZED)
        right = ask(profile | {"deviceName": "honest"})
        served = ask(wrong, echo=challenge.opt.echo)
        made_up = until(lambda _: ask(wrong, echo=bytes(12)), Code.UNAUTHORIZED)
        until(lambda _: ask(wrong, echo=challenge.opt.echo), Code.TOO_MANY_REQUESTS)
        proven = ask(profile | {"deviceName": "proven"}, echo=challenge.opt.echo)

    assert before >= GUESSES
    assert (len(challenge.opt.echo), challenge.payload) == (12, b"")
    assert served.code == Code.BAD_REQUEST
    assert json.loads(served.payload)["status"] == "NOT_FOUND"
    assert made_up[0].opt.echo
    assert [json.loads(answer.payload)["status"] for answer in (right, proven)] == ["SUCCESS", "SUCCESS"]


def test_source_that_guesses_tokens_proves_its_address_and_is_served(limited):
    profile = limited.create_profile("tokens")
    with Peer(limited) as peer:
        ask = Requests(peer).ask
        token = json.loads(ask(profile | {"deviceName": "meter"}).payload)["credentialsValue"]
        answers = [ask(b"{}", f"guess-{number}", "telemetry") for number in range(GUESSES + 2)]
        echo = answers[-1].opt.echo
        right = ask(b'{"a":1}', token, "telemetry", echo=echo)

    assert [(answer.code, bool(answer.opt.echo)) for answer in answers[:-1]] == [(Code.UNAUTHORIZED, False)] * (GUESSES + 1)
    assert echo
    assert right.code == Code.CREATED
