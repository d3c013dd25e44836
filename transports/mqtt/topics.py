"""Provisioning topics of an MQTT broker, shared by bridge and embedded broker (docs/protocol.md, *Topics*)."""

import re
from dataclasses import dataclass

# What deployed firmware uses. New firmware may append its client id.
REQUEST = "/provision/request"
RESPONSE = "/provision/response"
PLACEHOLDER = "{client_id}"
_STRUCTURE = re.compile(r"[+#/\0]")


@dataclass(frozen=True, slots=True)
class PerClientTopic:
    """A topic of one client, `/provision/request/{client_id}`. `prefix` and `suffix` are what surrounds the placeholder."""

    prefix: str
    suffix: str

    @classmethod
    def of(cls, template: str) -> "PerClientTopic":
        """Return the topic that `template` describes. Raises ValueError if it has not one placeholder, or has wildcards."""
        if template.count(PLACEHOLDER) != 1 or not is_client_id(template.replace(PLACEHOLDER, "").replace("/", "") or "x"):
            raise ValueError(f"The topic {template!r} needs {PLACEHOLDER} once, and no wildcards.")
        return cls(*template.split(PLACEHOLDER))

    @property
    def topic_filter(self) -> str:
        """The topic filter for all clients."""
        return self.topic("+")

    @property
    def shared(self) -> str:
        """The topic that all clients share, of unmodified firmware; "" if the placeholder is not the last level."""
        return "" if self.suffix or not self.prefix.endswith("/") else self.prefix.removesuffix("/")

    def topic(self, client_id: str) -> str:
        """Return the topic of one client."""
        return f"{self.prefix}{client_id}{self.suffix}"

    def client_id(self, topic: str) -> str:
        """Return the client id in `topic`; "" if it is another topic."""
        around = len(self.prefix) + len(self.suffix)
        if len(topic) <= around or not topic.startswith(self.prefix) or not topic.endswith(self.suffix):
            return ""
        return topic[len(self.prefix) : len(topic) - len(self.suffix)]


def is_client_id(text: str) -> bool:
    """Return whether `text` can be one level of a topic without changing what the topic means."""
    return bool(text) and not _STRUCTURE.search(text)


def plain_filter(topic_filter: str) -> str:
    """Return `topic_filter` without the `$share/group/` of a shared subscription (MQTT 5 section 4.8.2)."""
    if not topic_filter.startswith("$share/"):
        return topic_filter
    return topic_filter.split("/", 2)[2] if topic_filter.count("/") >= 2 else ""


def matches(topic: str, topic_filter: str) -> bool:
    """Return whether `topic_filter`, wildcards included, covers `topic` (MQTT 3.1.1 section 4.7)."""
    levels, wanted = topic.split("/"), topic_filter.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(levels) == len(wanted) and all(want in ("+", level) for level, want in zip(levels, wanted, strict=True))
