"""On which topic a request may come and on which its answer goes (protocol.md, *MQTT*). Nothing here does input or output."""

import re
from dataclasses import dataclass

PLACEHOLDER = "{client_id}"
# MQTT 5.0 section 4.7.3: a topic has at most 65,535 bytes.
MAX_TOPIC_BYTES = 65_535
_STRUCTURE = re.compile(r"[+#/\0]")


@dataclass(frozen=True, slots=True)
class Topics:
    """The two topics of one client, with `{client_id}` in place of its id. Raises ValueError when a template is not usable."""

    request: str
    response: str

    def __post_init__(self) -> None:
        for template in (self.request, self.response):
            if template.count(PLACEHOLDER) != 1 or not is_client_id(template.replace(PLACEHOLDER, "").replace("/", "") or "x"):
                raise ValueError(f"The topic {template!r} needs {PLACEHOLDER} once, and no wildcards.")

    @property
    def requests(self) -> str:
        """The topic filter for the requests of all clients."""
        return self.request.replace(PLACEHOLDER, "+")

    @property
    def shared_request(self) -> str:
        """The topic of unmodified firmware on a broker that does not keep replies apart; "" where the template has none."""
        return _shared(self.request)

    @property
    def shared_response(self) -> str:
        return _shared(self.response)

    def client_of(self, topic: str) -> str:
        """Return the id of the client whose request came on `topic`, "" when there is none that may stand in a topic."""
        before, _, after = self.request.partition(PLACEHOLDER)
        if not topic.startswith(before) or not topic.endswith(after):
            return ""
        client_id = topic[len(before) : len(topic) - len(after)]
        return client_id if is_client_id(client_id) else ""

    def own_response(self, client_id: str) -> str:
        """Return the response topic of a client, "" when it would be too long."""
        topic = self.response.replace(PLACEHOLDER, client_id)
        return topic if len(topic.encode()) <= MAX_TOPIC_BYTES else ""

    def chosen_response(self, wish: str, client_id: str) -> str:
        """Return the MQTT 5 Response Topic `wish` if the sender may have its answer there, else "".

        It must lie below the response topics. A client that the broker has named stays at or below its own topic: the
        bridge may publish where devices may not, and nobody shall make it tell another device "failed", or hand that
        device credentials which the sender knows. On the shared request topic nobody is named; there any topic below
        the response topics will do.
        """
        below = self.response.partition(PLACEHOLDER)[0]
        if not below or not wish.startswith(below) or wish == below or re.search(r"[+#\0]", wish):
            return ""
        own = self.own_response(client_id) if client_id else ""
        return wish if not client_id or wish == own or wish.startswith(f"{own}/") else ""


def is_client_id(text: str) -> bool:
    """Return whether `text` can stand in a topic as one level without changing what the topic means."""
    return bool(text) and not _STRUCTURE.search(text)


def _shared(template: str) -> str:
    return template.removesuffix(f"/{PLACEHOLDER}") if template.endswith(f"/{PLACEHOLDER}") else ""
