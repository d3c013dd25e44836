"""One call of a broker's management API."""

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from brokers.kicks.errors import KickFailed
from brokers.models import Broker

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a management API answered; `content` is None if it is empty or no JSON."""

    status: int
    content: Any


def management_call(broker: Broker, method: str, path: str, *, accepted: tuple[int, ...]) -> Answer:
    """Return the answer. Raises KickFailed for a status that is not `accepted`."""
    parts = urlsplit(broker.management_url)
    credentials = base64.b64encode(f"{broker.management_user}:{broker.management_password}".encode()).decode()
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, parts.path.rstrip("/") + path, headers={"Authorization": f"Basic {credentials}"})
        response = connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as err:
        raise KickFailed(f"The management API cannot be reached: {type(err).__name__}.") from err
    finally:
        connection.close()
    if response.status not in accepted:
        raise KickFailed(f"The management API answered {response.status} {response.reason}.")
    try:
        return Answer(response.status, json.loads(body) if body else None)
    except ValueError:
        return Answer(response.status, None)
