"""One process of several that race for the same devices: `python -m tests.support.racer`, started by `race`.

It reads request bodies from its input, says that it is ready, waits for the start, submits all of them at once, and
prints the answers.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.support.web import ROOT

PROCESSES = 4


def race(environment: dict[str, str], bodies: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the answers to `bodies`, one list a process, from processes that all start at the same moment."""
    command = [sys.executable, "-m", "tests.support.racer"]
    racers = [
        subprocess.Popen(command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in bodies
    ]
    try:
        for racer, share in zip(racers, bodies, strict=True):
            print(json.dumps(share), file=racer.stdin, flush=True)
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            print("go", file=racer.stdin, flush=True)
        return [answer for racer in racers for answer in json.loads(racer.communicate(timeout=120)[0])]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from provisioning.choices import Transport
    from provisioning.group_commit import group_commit
    from transports.handler import handle

    bodies = [json.dumps(fields).encode() for fields in json.loads(sys.stdin.readline())]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    replies = [handle(body, Transport.HTTP, "192.0.2.1") for body in bodies]
    sys.stdout.write(json.dumps([json.loads(reply.result(60).body) for reply in replies]))
    group_commit.close()


if __name__ == "__main__":
    main()
