"""What a probe sends and is answered. It is signed, so any bridge of this installation knows it from a device's request."""

import json

from django.conf import settings
from django.core import signing

FIELD = "firstlightProbe"
MAX_AGE_S = 60
_SALT = "firstlight.mqtt.probe"
_START = b'{"' + FIELD.encode() + b'"'


def question(client_id: str) -> bytes:
    """Return the body of the request of the probe that connects as `client_id`."""
    return json.dumps({FIELD: signing.dumps(client_id, key=settings.LOOKUP_KEY, salt=_SALT)}).encode()


def prober(body: bytes) -> str:
    """Return the client id of the probe that sent `body`, "" when it is none of this installation or older than a minute."""
    if not body.startswith(_START):
        return ""
    try:
        client_id = signing.loads(json.loads(body)[FIELD], key=settings.LOOKUP_KEY, salt=_SALT, max_age=MAX_AGE_S)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, signing.BadSignature):
        return ""
    return str(client_id)


def answer(client_id: str) -> bytes:
    """Return the body of the answer to that probe."""
    return json.dumps({FIELD: client_id}).encode()
