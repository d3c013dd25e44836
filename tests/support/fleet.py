"""Devices that are patient: each asks, with an idempotency key, until it has its credentials, and notes what went wrong."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from tests.support.sources import Answer, Ports, Source, sources_at

# Between two tries of a device that got a retry, or no connection.
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something else than success: the answer, or the name of the error when there was none.

    Asked and over are moments of time.monotonic.
    """

    source: str
    asked_at: float
    over_at: float
    answer: Answer | None
    error: str = ""


class Fleet:
    """Devices in a thread of their own. Entered, it asks; left, it stops asking and finishes what is under way.

    `at_once` devices ask at every source of those in `only`, each for `timeout_s` before it tries again. Without `count` there
    is always another device, until the fleet is stopped.
    """

    def __init__(
        self,
        ports: Ports,
        profile: dict[str, str],
        *,
        at_once: int,
        timeout_s: float,
        only: str = "",
        count: int | None = None,
    ) -> None:
        self.answers: dict[str, Answer] = {}
        self.troubles: list[Trouble] = []
        self.tries = 0
        self.last_success: dict[str, float] = {}
        self._asked_at: dict[str, tuple[Source, float]] = {}
        self._ports, self._profile = ports, profile
        self._at_once, self._timeout_s, self._only = at_once, timeout_s, only
        self._names = self._numbered(count)
        self._stopping = self._giving_up = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="fleet")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopping = True
        # A failed test does not wait.
        self._giving_up = kind is not None
        self.join()

    def join(self) -> None:
        """Return when no device asks any more."""
        self._thread.join()

    def waiting_since(self, moment: float) -> list[str]:
        """Return the sources at which devices wait whose request is older than `moment`, in the time of time.monotonic."""
        return [source.name for source, asked_at in list(self._asked_at.values()) if asked_at < moment]

    def retries(self) -> Counter[str]:
        """Return how often devices had to ask again, by the reason."""
        return Counter(f"{one.source}: {one.error or (one.answer and one.answer.code)}" for one in self.troubles)

    def _numbered(self, count: int | None) -> Iterator[str]:
        number = 0
        while not self._stopping and (count is None or number < count):
            yield f"{self._profile['id']}-{number}"
            number += 1

    async def _run(self) -> None:
        async with sources_at(self._ports) as sources, asyncio.TaskGroup() as group:
            for source in sources:
                if source.name.startswith(self._only):
                    for _ in range(self._at_once):
                        group.create_task(self._serve(source))

    async def _serve(self, source: Source) -> None:
        for name in self._names:
            while name not in self.answers and not self._giving_up:
                await self._try(source, name)

    async def _try(self, source: Source, name: str) -> None:
        self.tries += 1
        asked_at = time.monotonic()
        self._asked_at[name] = source, asked_at
        answer, error = None, ""
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await source.ask(name, self._body(name))
        except OSError as err:  # TimeoutError is one
            error = type(err).__name__
        del self._asked_at[name]
        if answer and answer.status == "SUCCESS":
            self.answers[name] = answer
            self.last_success[source.name] = time.monotonic()
        else:
            self.troubles.append(Trouble(source.name, asked_at, time.monotonic(), answer, error))
            await asyncio.sleep(PAUSE_S)

    def _body(self, name: str) -> bytes:
        pair = {"provisionDeviceKey": self._profile["key"], "provisionDeviceSecret": self._profile["secret"]}
        return json.dumps(pair | {"deviceName": name, "idempotencyKey": f"the key of {name}"}).encode()
