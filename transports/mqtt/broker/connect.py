"""The CONNECT packet: what it says, and whether it keeps the rules of its protocol."""

from dataclasses import dataclass, field

from amqtt.errors import MQTTError
from amqtt.mqtt.connack import BAD_USERNAME_PASSWORD, IDENTIFIER_REJECTED
from amqtt.mqtt.connect import ConnectPacket

from transports.mqtt.broker import mqtt5
from transports.mqtt.broker.framing import PacketReader


class Refused(Exception):
    """This CONNECT is answered with `code`, a CONNACK return code of MQTT 3.1.1."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Will:
    """What is published in the client's name when its connection breaks."""

    topic: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Connect:
    """Who wants to connect, and how; a part that is missing is empty. `keep_alive_s` is 0 where there is none."""

    client_id: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)
    clean: bool
    keep_alive_s: int
    will: Will | None
    speaks_5: bool
    properties: mqtt5.Properties
    address: str


async def read_connect(reader: PacketReader, address: str) -> Connect:
    """Return the CONNECT that `reader` has at hand. Raises Refused, or MQTTError when it is not even to be answered."""
    packet = await ConnectPacket.from_stream(reader)
    reader.check_read()
    header, payload = packet.variable_header, packet.payload
    if header.reserved_flag or header.will_qos == 3:
        raise MQTTError("Reserved flags in a CONNECT [MQTT-3.1.2-3] [MQTT-3.1.2-14]")
    fields = [payload.client_id]
    fields += [payload.will_topic, payload.will_message] if header.will_flag else []
    fields += [payload.username] if header.username_flag else []
    fields += [payload.password] if header.password_flag else []
    if None in fields:
        raise MQTTError("A CONNECT that is cut short")
    if header.password_flag and not header.username_flag and reader.level != 5:
        raise Refused(BAD_USERNAME_PASSWORD, "a password without a user name [MQTT-3.1.2-22]")
    if payload.client_id_is_random and not header.clean_session_flag:
        raise Refused(IDENTIFIER_REJECTED, "no client id, but a session to be kept [MQTT-3.1.3-8]")
    return Connect(
        # amqtt makes one up where it is empty.
        client_id="" if payload.client_id_is_random else payload.client_id,
        username=payload.username or "",
        password=payload.password or "",
        clean=header.clean_session_flag,
        keep_alive_s=header.keep_alive,
        will=Will(payload.will_topic, bytes(payload.will_message)) if header.will_flag else None,
        speaks_5=reader.level == 5,
        properties=reader.properties,
        address=address,
    )
