"""Who a bridge is to the broker. Both names are stable, and no device can guess them.

A device that knew a bridge's client id could connect under it and so end the bridge's connection; one that knew the
name of the shared subscription could join it and swallow a share of all requests, although it may not read them
(Mosquitto 2.0.11 counts it in before it looks at the ACL).
"""

import hashlib
import hmac
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from django.conf import settings

from core.locks import try_lock

MAX_SLOTS = 1_000


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one bridge among those of its host, its own until the process ends, however it ends."""

    number: int
    lock: IO[bytes]


def take_slot(folder: Path) -> Slot:
    """Return the first slot that no other bridge of this host holds. Raises OSError when `folder` is not usable."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(1, MAX_SLOTS):
        lock = try_lock(folder / f"mqtt-bridge-{number}.lock")
        if lock:
            return Slot(number, lock)
    raise OSError(f"{MAX_SLOTS} bridges run on this host already.")


def client_id(slot: Slot) -> str:
    """Return the client id of the bridge in `slot` of this host: a restarted one takes up its session again."""
    host = socket.gethostname()
    return f"firstlight-{slot.number}-{_digest(f'{host} {slot.number}')}"


def data_client_id(number: int) -> str:
    """Return the client id of session `number` for data of devices, on whichever host it is served."""
    return f"firstlight-data-{number}-{_digest(f'data {number}')}"


def group() -> str:
    """Return the name of the shared subscription, the same for all bridges of this installation."""
    return f"firstlight-{_digest('group')}"


def _digest(what: str) -> str:
    return hmac.new(settings.LOOKUP_KEY.encode(), f"mqtt bridge {what}".encode(), hashlib.sha256).hexdigest()[:24]
