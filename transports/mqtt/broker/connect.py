"""The CONNECT packet: what it says, and whether it keeps the rules of its protocol.

Read here and not by amqtt, which refuses client ids and passwords that deployed firmware sends: a password of any bytes,
an empty client id without a clean session (docs/protocol.md, *MQTT*).
"""

from dataclasses import dataclass, field

from amqtt.errors import MQTTError
from amqtt.mqtt.connack import BAD_USERNAME_PASSWORD

from transports.mqtt.broker import mqtt5

_RESERVED, _CLEAN, _WILL, _WILL_QOS, _PASSWORD, _USERNAME = 0x01, 0x02, 0x04, 0x18, 0x40, 0x80
# Behind the protocol's name and level, see `framing.py`.
_FLAGS_AT = 7


class Refused(Exception):
    """This CONNECT is answered with `code`, a CONNACK return code of MQTT 3.1.1, or `reason`, a reason code of MQTT 5."""

    def __init__(self, code: int, text: str, reason: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.reason = mqtt5.CONNACK_REASONS[code] if reason is None else reason


@dataclass(frozen=True, slots=True)
class Will:
    """What is published in the client's name when its connection breaks."""

    topic: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Connect:
    """Who wants to connect, and how; a part that is missing is empty. `keep_alive_s` is 0 where there is none.

    Bytes that are not UTF-8 become lone surrogates, which no stored credentials have. `certificate` is the client
    certificate of a TLS connection in DER form, whose handshake proved that the client has its key.
    """

    client_id: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)
    clean: bool
    keep_alive_s: int
    will: Will | None
    speaks_5: bool
    properties: mqtt5.Properties
    address: str
    certificate: bytes = field(default=b"", repr=False)


def read_connect(body: bytes, *, speaks_5: bool, properties: mqtt5.Properties, address: str, certificate: bytes = b"") -> Connect:
    """Return the CONNECT whose `body` is in the form of MQTT 3.1.1. Raises Refused, or MQTTError when it gets no answer."""
    fields = _Fields(body, _FLAGS_AT)
    flags, keep_alive_s = fields.byte(), fields.number()
    if flags & _RESERVED or flags & _WILL_QOS == _WILL_QOS:
        raise MQTTError("Reserved flags in a CONNECT [MQTT-3.1.2-3] [MQTT-3.1.2-14]")
    client_id = fields.text()
    will = Will(fields.text(), fields.data()) if flags & _WILL else None
    username = fields.text() if flags & _USERNAME else ""
    password = fields.text() if flags & _PASSWORD else ""
    fields.end()
    if flags & _PASSWORD and not flags & _USERNAME and not speaks_5:
        raise Refused(BAD_USERNAME_PASSWORD, "a password without a user name [MQTT-3.1.2-22]")
    return Connect(
        client_id=client_id,
        username=username,
        password=password,
        clean=bool(flags & _CLEAN),
        keep_alive_s=keep_alive_s,
        will=will,
        speaks_5=speaks_5,
        properties=properties,
        address=address,
        certificate=certificate,
    )


class _Fields:
    """Reads one field after the other. Raises MQTTError where the packet is cut short or too long."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body, self._at = body, at

    def byte(self) -> int:
        return self._take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self._take(2))

    def data(self) -> bytes:
        return self._take(self.number())

    def text(self) -> str:
        return self.data().decode(errors="surrogateescape")

    def end(self) -> None:
        if self._at != len(self._body):
            raise MQTTError("A CONNECT is longer than its fields")

    def _take(self, size: int) -> bytes:
        taken = self._body[self._at : self._at + size]
        if len(taken) != size:
            raise MQTTError("A CONNECT that is cut short")
        self._at += size
        return taken
