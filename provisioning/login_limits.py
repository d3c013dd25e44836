"""How often device credentials may be guessed, whatever the transport.

Wrong credentials are counted by source and, where a password is tried, by user name or client id. Beyond a limit the
source or the name has to wait, longer each time, and what is presented meanwhile is not checked at all: a reply
would reveal which guess was right. Two rules keep honest devices out of it:

- The same wrong credentials count once, so a device that was configured badly and asks every second is no guesser.
- Credentials that this process has seen succeed from the same source are never limited, so the devices behind one NAT
  go on working while somebody behind it guesses.

Counts are kept in the memory of each process. A UDP source can be forged: it is counted apart (see transports/coap/echo.py).
"""

import hashlib
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cachetools import LRUCache
from django.conf import settings

from core.encryption import DecryptionFailed
from core.networks import source_networks
from devices.authentication import AuthenticationFailed, MqttConnect, Presented, PresentedCertificate
from devices.authentication import authenticate as authenticate_device
from devices.models import Device
from provisioning.choices import Transport
from provisioning.errors import Unavailable

log = logging.getLogger(__name__)

WINDOW_S = 60.0
FIRST_WAIT_S = 15.0
MAX_WAIT_S = 900.0
# A source that has been quiet for this long begins with the first wait again.
FORGIVEN_AFTER_S = 3_600.0
# Different wrong passwords for one user name or client id within the window.
PASSWORDS_PER_NAME = 10
# A network of 48 bits may have many honest sites in it.
WIDER_NETWORK_FACTOR = 10
# Sources and names that are remembered; when there are more, those with the fewest failures are forgotten.
MAX_REMEMBERED = 20_000
MAX_KNOWN = 20_000


class LoginLimited(AuthenticationFailed):
    """Too many wrong credentials came from there. Nothing was checked; try again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many wrong credentials.")
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class _Failures:
    """The failed logins of one source or name: in this window, and how often it had to wait before."""

    since: float
    digests: set[bytes] = field(default_factory=set, repr=False)
    waits: int = 0
    until: float = 0.0

    @property
    def badness(self) -> tuple[int, int]:
        return self.waits, len(self.digests)


@dataclass(frozen=True, slots=True)
class _Login:
    """One login: the digest of what is presented, and each counter that it belongs to, with that counter's limit."""

    digest: bytes = field(repr=False)
    counters: tuple[tuple[str, int], ...] = field(repr=False)
    known_as: bytes = field(repr=False)


class LoginLimits:
    """The counters of one process. Safe to call from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, _Failures] = {}
        self._known: LRUCache[bytes, None] = LRUCache(MAX_KNOWN)
        self._logged_at = -math.inf

    def seconds_to_wait(self, login: _Login) -> int:
        """Return for how many more seconds `login` is not looked at; 0 when it is."""
        with self._lock:
            if login.known_as in self._known:
                return 0
            now = self._clock()
            waits = (self._failures[key].until - now for key, _ in login.counters if key in self._failures)
            longest = max(waits, default=0.0)
        return int(longest) + 1 if longest > 0 else 0

    def succeeded(self, login: _Login) -> None:
        with self._lock:
            self._known[login.known_as] = None

    def failed(self, login: _Login) -> None:
        with self._lock:
            self._known.pop(login.known_as, None)
            now = self._clock()
            for key, limit in login.counters:
                self._count(key, limit, login.digest, now)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._failures.clear()
            self._known.clear()

    def _count(self, key: str, limit: int, digest: bytes, now: float) -> None:
        failures = self._failures.get(key)
        if failures is None:
            self._make_room(now)
            failures = self._failures[key] = _Failures(since=now)
        if now - failures.since > WINDOW_S:
            failures.waits = 0 if now - max(failures.since, failures.until) > FORGIVEN_AFTER_S else failures.waits
            failures.since, failures.digests = now, set()
        failures.digests.add(digest)
        if len(failures.digests) > limit:
            wait = min(FIRST_WAIT_S * 2**failures.waits, MAX_WAIT_S)
            failures.until, failures.waits = now + wait, failures.waits + 1
            failures.digests = set()
            self._log(now)

    def _log(self, now: float) -> None:
        # Once a minute: many sources that guess at the same time must not fill the log.
        if now - self._logged_at > WINDOW_S:
            self._logged_at = now
            log.warning("Device credentials are being guessed: logins from one source or for one name have to wait")

    def _make_room(self, now: float) -> None:
        if len(self._failures) < MAX_REMEMBERED:
            return
        worst = sorted(self._failures.items(), key=lambda item: (item[1].until > now, *item[1].badness), reverse=True)
        self._failures = dict(worst[: MAX_REMEMBERED // 2])


login_limits = LoginLimits()
_digest_key = secrets.token_bytes(32)


def authenticate(presented: Presented, transport: Transport, address: str, *, proven: bool = True) -> Device:
    """Return the device that has the credentials `presented`, which `address` sent.

    `proven` says that the address cannot be forged; it is looked at over CoAP only. Raises AuthenticationFailed,
    LoginLimited, and Unavailable where the stored credentials cannot be decrypted.
    """
    login = _login(presented, _group(transport, proven=proven), source_networks(address))
    wait_s = login_limits.seconds_to_wait(login)
    if wait_s:
        raise LoginLimited(wait_s)
    try:
        device = authenticate_device(presented)
    except AuthenticationFailed:
        login_limits.failed(login)
        raise
    except DecryptionFailed as err:
        # No wrong credentials: another process may have their key, or this one will.
        log.warning("Device credentials could not be compared. %s", err)
        raise Unavailable(str(err)) from None
    login_limits.succeeded(login)
    return device


def _group(transport: Transport, *, proven: bool) -> str:
    if transport != Transport.COAP:
        return "tcp"
    return "udp, proven" if proven else "udp"


def _login(presented: Presented, group: str, networks: Iterable[str]) -> _Login:
    digest = _digest(repr(_parts(presented)))
    counters = []
    limit = settings.GUESSES_PER_SOURCE
    for network in networks:
        counters.append((f"{group} {network}", limit))
        limit *= WIDER_NETWORK_FACTOR
    source = counters[0][0] if counters else group
    if isinstance(presented, MqttConnect) and presented.password:
        name = _digest(repr(("user", presented.username) if presented.username else ("client", presented.client_id)))
        counters.append((f"name {name.hex()}", PASSWORDS_PER_NAME))
    return _Login(digest, tuple(counters), _digest(f"{source} {digest.hex()}"))


def _parts(presented: Presented) -> tuple[str | bytes, ...]:
    match presented:
        case MqttConnect(client_id, username, password):
            return ("mqtt", client_id, username, password)
        case PresentedCertificate(der):
            return ("certificate", der)
    return ("token", presented.token)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=_digest_key, digest_size=16).digest()
