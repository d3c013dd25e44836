"""The topics of this broker, on the devices' side and on the bridges'."""

from dataclasses import dataclass

# What deployed firmware uses (protocol.md, *MQTT*). New firmware may append its client id.
REQUEST = "/provision/request"
RESPONSE = "/provision/response"
OWN = "v1/devices/me/"
TELEMETRY = OWN + "telemetry"
ATTRIBUTES = OWN + "attributes"

_PLACEHOLDER = "{client_id}"


@dataclass(frozen=True, slots=True)
class PerClientTopic:
    """A topic with the placeholder {client_id}, e.g. `/provision/request/{client_id}`."""

    prefix: str
    suffix: str

    @classmethod
    def of(cls, template: str) -> "PerClientTopic":
        """Return the topic that `template` describes. Raises ValueError when it has not exactly one placeholder."""
        prefix, suffix = template.split(_PLACEHOLDER)
        return cls(prefix, suffix)

    def topic(self, client_id: str) -> str:
        return f"{self.prefix}{client_id}{self.suffix}"

    def client_id(self, topic: str) -> str:
        """Return the client id in `topic`, "" when it is some other topic."""
        if (
            len(topic) <= len(self.prefix) + len(self.suffix)
            or not topic.startswith(self.prefix)
            or not topic.endswith(self.suffix)
        ):
            return ""
        return topic[len(self.prefix) : len(topic) - len(self.suffix)]


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
