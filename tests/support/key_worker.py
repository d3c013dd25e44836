"""A process with encryption keys of its own, for tests: it reads one JSON command a line, and answers each with one line."""

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings

from devices.authentication import PresentedToken
from profiles.services import encryption_rotate, profile_create
from provisioning.choices import Transport
from provisioning.errors import Unavailable
from provisioning.login_limits import authenticate
from transports.handler import handle


def run(command: dict[str, Any]) -> dict[str, Any]:
    """Return what became of `command`. A restart with other keys is a new value of the setting: nothing else depends on them."""
    settings.ENCRYPTION_KEYS = command["keys"]
    match command["do"]:
        case "create":
            _, key = profile_create(name=command["name"], strategy="ALLOW_CREATE_NEW_DEVICES")
            return {"provisionDeviceKey": key.key, "provisionDeviceSecret": key.secret}
        case "provision":
            reply = handle(json.dumps(command["body"]).encode(), Transport.HTTP).result(60)
            return {"kind": reply.kind.name, **json.loads(reply.body)}
        case "log in":
            try:
                return {"name": authenticate(PresentedToken(command["token"]), Transport.HTTP, "").name}
            except Unavailable:
                return {"name": None}
    return encryption_rotate()


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(line))) + "\n")
        sys.stdout.flush()
