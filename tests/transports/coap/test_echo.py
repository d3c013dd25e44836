"""The Echo option: a value proves one address, for a while."""

from aiocoap import POST, Code, Message

from transports.coap import echo


def answered(challenge):
    return Message(code=POST, echo=challenge.opt.echo)


def test_value_that_comes_back_proves_the_address():
    challenge = echo.challenge("192.0.2.1")

    assert challenge.code == Code.UNAUTHORIZED
    assert len(challenge.opt.echo) == 12
    assert echo.has_proven(answered(challenge), "192.0.2.1")


def test_value_of_another_address_or_made_up_proves_nothing():
    challenge = echo.challenge("192.0.2.1")

    assert not echo.has_proven(answered(challenge), "192.0.2.2")
    assert not echo.has_proven(Message(code=POST), "192.0.2.1")
    for value in (b"", b"x", bytes(12), challenge.opt.echo[:-1], challenge.opt.echo + b"x"):
        assert not echo.has_proven(Message(code=POST, echo=value), "192.0.2.1")


def test_old_value_proves_nothing(monkeypatch):
    challenge = echo.challenge("192.0.2.1")
    later = echo.time.time() + echo.FRESH_S + 1
    monkeypatch.setattr(echo.time, "time", lambda: later)

    assert not echo.has_proven(answered(challenge), "192.0.2.1")
