"""A virtual device that provisions on the running server and records the messages."""

import asyncio
import json
import re
import secrets
import socket
import time
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from aiocoap import POST, Context, Message
from aiocoap.error import Error as CoapError
from aiocoap.error import LibraryShutdown
from paho.mqtt.enums import CallbackAPIVersion

from console.addresses import Addresses
from console.client_commands import PATH
from provisioning.choices import Transport

TIMEOUT_S = 10.0
MAX_REPLY_BYTES = 256 * 1024
MASK = "••••••••"
_STRING = r'"(?:[^"\\]|\\.)*"'
_CREDENTIALS = re.compile(rf'("(?:credentialsValue|accessToken)": ?)({_STRING}|\{{(?:{_STRING}|[^"}}])*\}})')


class NoReply(Exception):
    """The server did not reply. The text says what happened."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a virtual device sent and received, as text. `problem` says why there is no reply."""

    transport: Transport
    sent: str = field(repr=False)
    got: str = field(repr=False)
    took_ms: int
    problem: str = ""


def play(transport: Transport, body: dict[str, Any], at: Addresses, *, http_host: str) -> Played:
    """Play a device that sends `body` over `transport`, for at most TIMEOUT_S.

    `http_host` is the `Host` header over HTTP.
    """
    text = json.dumps(body)
    wire: list[str] = []
    started = time.monotonic()
    try:
        match transport:
            case Transport.HTTP:
                got = _http(text, at, http_host, wire)
            case Transport.MQTT:
                got = _mqtt(text, at, wire)
            case Transport.COAP:
                got = asyncio.run(_coap(text, at, wire))
        problem = ""
    except (NoReply, OSError) as err:
        got, problem = "", f"No reply: {err or type(err).__name__}"
    return Played(transport, wire[0] if wire else text, got, int((time.monotonic() - started) * 1000), problem)


def masked(text: str, hidden: list[str]) -> str:
    """Return `text` without secrets: those in `hidden`, and the values of issued credentials."""
    for secret in hidden:
        text = text.replace(secret, MASK)
    return _CREDENTIALS.sub(rf'\1"{MASK}"', text)


def _http(body: str, at: Addresses, host: str, wire: list[str]) -> str:
    url = urlsplit(at.http_url)
    payload = body.encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    )
    wire.append(head + body)
    with socket.create_connection((url.hostname or "127.0.0.1", url.port or 80), timeout=TIMEOUT_S) as connection:
        connection.sendall(head.encode("latin-1", "replace") + payload)
        got = b""
        while len(got) < MAX_REPLY_BYTES and (more := connection.recv(65536)):
            got += more
    if not got:
        raise NoReply("the server closed the connection.")
    return got.decode(errors="replace")


def _mqtt(body: str, at: Addresses, wire: list[str]) -> str:
    client_id = f"try-it-{secrets.token_hex(4)}"
    request_topic, response_topic = at.request_topic.format(client_id=client_id), at.response_topic.format(client_id=client_id)
    replies: Queue[str] = Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
    client.username_pw_set("provision")
    if at.mqtt_tls:
        client.tls_set()
    client.on_connect = lambda client, *_: client.subscribe(response_topic)
    client.on_subscribe = lambda client, *_: client.publish(request_topic, body)
    client.on_message = lambda _client, _data, message: replies.put(
        f"PUBLISH  topic {message.topic}  QoS {message.qos}\n\n{message.payload.decode(errors='replace')}"
    )
    wire.append(
        f"CONNECT  client id {client_id}  user name provision\nSUBSCRIBE  {response_topic}\n"
        f"PUBLISH  topic {request_topic}  QoS 0\n\n{body}"
    )
    client.connect_timeout = TIMEOUT_S
    client.connect(at.mqtt_host, at.mqtt_port)
    client.loop_start()
    try:
        return replies.get(timeout=TIMEOUT_S)
    except Empty:
        raise NoReply(f"no message on {response_topic} within {TIMEOUT_S:.0f} s.") from None
    finally:
        client.disconnect()
        client.loop_stop()


async def _coap(body: str, at: Addresses, wire: list[str]) -> str:
    context = await Context.create_client_context()
    try:
        request = Message(code=POST, uri=at.coap_url + PATH, payload=body.encode())
        request.opt.content_format = 50
        wire.append(f"CON  POST  {at.coap_url}{PATH}\nContent-Format: 50 (application/json)\n\n{body}")
        reply = await asyncio.wait_for(context.request(request).response, TIMEOUT_S)
    except TimeoutError:
        raise NoReply(f"no response within {TIMEOUT_S:.0f} s.") from None
    except (CoapError, LibraryShutdown) as err:
        raise NoReply(f"{type(err).__name__}.") from err
    finally:
        await context.shutdown()
    options = f"Content-Format: {int(reply.opt.content_format)}\n" if reply.opt.content_format is not None else ""
    kind = reply.mtype.name if reply.mtype is not None else "ACK"
    return f"{kind}  {reply.code}\n{options}\n{reply.payload.decode(errors='replace')}"
