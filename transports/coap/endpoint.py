"""aiocoap's UDP endpoint with bounds: what a stranger's datagrams may make us keep, write to the log, or fall over.

Verified against aiocoap 0.4.17, whose inner classes are extended here; tests/transports/coap/ holds it to that.
"""

import errno
import logging
import socket
from collections.abc import Hashable
from typing import Any

from aiocoap import Code, Message
from aiocoap.error import Error
from aiocoap.messagemanager import MessageManager
from aiocoap.numbers import ContentFormat, TransportTuning
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.numbers.types import ACK, CON
from aiocoap.pipe import Pipe, error_to_message, run_driving_pipe
from aiocoap.protocol import Context
from aiocoap.tokenmanager import TokenManager
from aiocoap.transports.udp6 import MessageInterfaceUDP6, UDP6EndpointAddress
from aiocoap.util.socknumbers import IP_RECVERR, IPV6_RECVERR
from cachetools import TTLCache

from transports.coap.site import Site

LOGGER = "coap-server"
log = logging.getLogger(LOGGER)

# A burst of devices that are switched on together waits here while the loop is busy.
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
# Answers kept for retransmitted requests. At 1,000 requests a second it is for 100 s, and a sender gives up after 93 s
# (RFC 7252 section 4.8.2); aiocoap's own record takes some 3 KB a request and has no bound but 247 s.
REMEMBERED_REQUESTS = 100_000
# Numbers without a name that aiocoap's enumerations may hold: they keep each one that they ever saw.
MAX_UNNAMED_NUMBERS = 1_000
MAX_TOKEN_BYTES = 8
HEADER_BYTES = 4


class Tuning(TransportTuning):
    """How long a request may take before its answer goes separately from its acknowledgement.

    A sender retransmits after 2 s at the earliest, so 1 s is in time, and a separate answer costs two datagrams more.
    """

    EMPTY_ACK_DELAY = 1.0


TUNING = Tuning()


class Exchanges(MessageManager):
    """Recognises a retransmitted request, by message id and token, and sends the very same answer again."""

    def __init__(self, token_manager: TokenManager) -> None:
        super().__init__(token_manager)
        # By the request; None while it is being answered.
        self._answers: TTLCache[Hashable, bytes | None] = TTLCache(REMEMBERED_REQUESTS, TUNING.EXCHANGE_LIFETIME)
        # The token of the latest request under a message id: an empty acknowledgement has none of its own.
        self._tokens: TTLCache[Hashable, bytes] = TTLCache(REMEMBERED_REQUESTS, TUNING.EXCHANGE_LIFETIME)

    def dispatch_message(self, message: Message) -> None:
        message.transport_tuning = TUNING
        super().dispatch_message(message)

    def _deduplicate_message(self, message: Message) -> bool:
        """Return whether `message` came before; the answer is sent again where it is known already."""
        key = _exchange(message, message.token)
        if key not in self._answers:
            self._answers[key] = None
            self._tokens[_exchange(message)] = message.token
            return False
        answer = self._answers[key]
        if message.mtype is CON and answer is not None:
            self.message_interface.send_bytes(answer, message.remote)
        return True

    def _store_response_for_duplicates(self, message: Message) -> None:
        """Keep `message` when it answers in the acknowledgement; other messages have message ids of our own."""
        if message.mtype is not ACK:
            return
        key = _exchange(message, message.token or self._tokens.get(_exchange(message), b""))
        if key in self._answers:
            self._answers[key] = message.encode()


class Requests(TokenManager):
    """Answers each request, also when a new one comes under a token that is in use.

    aiocoap would drop the earlier one. A device that asks again before the answer arrives would get the error that its
    name is taken, and never receive the credentials from its first request.
    """

    def process_request(self, request: Message) -> None:
        pipe, stop = self.incoming_requests.pop((request.token, request.remote), (None, None))
        if pipe is not None and pipe.request.opt.observe is not None:
            # A new request under the token of an observation takes its place or ends it (RFC 7641 section 3.6).
            stop()
        super().process_request(request)


class Datagrams(MessageInterfaceUDP6):
    """The socket. Whatever arrives, nothing is raised into the event loop."""

    taking = True

    def datagram_msg_received(self, data: bytes, ancdata: Any, flags: int, address: Any) -> None:
        """Pass on one datagram, unless it is truncated, not CoAP, or the server is stopping."""
        if not self.taking or len(data) < HEADER_BYTES or data[0] & 0x0F > MAX_TOKEN_BYTES:
            return
        _forget_unnamed_numbers()
        try:
            if flags & socket.MSG_TRUNC:
                self._refuse_cut_off(data, address)
            else:
                super().datagram_msg_received(data, ancdata, flags, address)
        except (Error, ValueError) as err:
            # aiocoap lets some escape, e.g. an Uri-Path that is not UTF-8. The err itself may hold what was sent.
            log.warning("Ignoring a datagram that cannot be read: %s", type(err).__name__)
        except Exception:
            log.exception("A datagram could not be handled")

    def send_bytes(self, data: bytes, remote: UDP6EndpointAddress) -> None:
        """Send a message that was encoded before."""
        ancdata = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, remote.pktinfo)] if remote.pktinfo else []
        self.transport.sendmsg(data, ancdata, 0, remote.sockaddr)

    def _refuse_cut_off(self, data: bytes, address: Any) -> None:
        """Answer 4.13 to a confirmable request that is longer than our buffer: it has to come block-wise (RFC 7252, 4.6)."""
        request = Message.decode(data[: HEADER_BYTES + (data[0] & 0x0F)], UDP6EndpointAddress(address, self))
        if request.mtype is CON and request.code.is_request():
            answer = Message(code=Code.REQUEST_ENTITY_TOO_LARGE, payload=b"The datagram is too large. Send it block-wise.")
            answer.mtype, answer.mid, answer.token, answer.remote = ACK, request.mid, request.token, request.remote
            self.send_bytes(answer.encode(), request.remote)


class Endpoint(Context):
    """A CoAP server on one UDP socket."""

    datagrams: Datagrams

    def render_to_pipe(self, pipe: Pipe) -> None:
        """Have the request in `pipe` answered. aiocoap's own method puts the whole request into the name of the task."""
        run_driving_pipe(error_to_message(pipe, self.log), self.serversite.render_to_pipe(pipe))

    async def listen(self, bound: socket.socket) -> None:
        """Answer what arrives at `bound`, from now on."""
        tokens = Requests(self)
        exchanges = Exchanges(tokens)
        self.datagrams = await Datagrams._create_transport_endpoint(bound, exchanges, self.log, self.loop)  # noqa: SLF001
        for level, option in ((socket.IPPROTO_IPV6, IPV6_RECVERR), (socket.IPPROTO_IP, IP_RECVERR)):
            # Otherwise an ICMP error about one peer, which anyone can forge, fails the next answer to any peer.
            bound.setsockopt(level, option, 0)
        exchanges.message_interface = self.datagrams
        tokens.token_interface = exchanges
        self.request_interfaces.append(tokens)


class PortTaken(Exception):
    """Another process has the port."""


async def listen(site: Site, host: str, port: int) -> Endpoint:
    """Return an endpoint that serves `site` on `host`:`port`. Raises PortTaken, and OSError for another trouble with them."""
    endpoint = Endpoint(serversite=site, loggername=LOGGER)
    await endpoint.listen(bound_socket(host, port))
    return endpoint


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a UDP socket of IPv6 on `host`:`port`; IPv4 addresses are mapped. Raises PortTaken, OSError.

    Unlike aiocoap's own it does not share the port (SO_REUSEPORT): a second server would take half of the peers.
    """
    family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    mapped = (f"::ffff:{where[0]}", port) if family == socket.AF_INET else where
    bound = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    try:
        bound.bind(mapped)
    except OSError as err:
        bound.close()
        raise PortTaken if err.errno == errno.EADDRINUSE else err from None
    return bound


def _exchange(message: Message, token: bytes = b"") -> Hashable:
    """Return what identifies a request: its peer, its message id and its token.

    With another token it is another request: a device that restarts may begin again with the same message ids, and
    an attacker that forges a peer's address does not know its token.
    """
    return (*message.remote.sockaddr[:2], message.mid, token)


def _forget_unnamed_numbers() -> None:
    for numbers in (OptionNumber, ContentFormat):
        known = numbers._value2member_map_
        if len(known) > len(numbers) + MAX_UNNAMED_NUMBERS:
            for number in [number for number, member in known.items() if not hasattr(member, "name")]:
                del known[number]
