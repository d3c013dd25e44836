"""Which topics a client may use on the operator's broker: one rule, whatever the broker.

Source: docs/protocol.md, *MQTT* and *With the credentials afterwards*.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from devices.models import Device
from profiles.topic_patterns import filled_topic

REQUEST = "/provision/request"
RESPONSE = "/provision/response"
DEVICE_API = ("v1/devices/me/#", "v2/#")
GATEWAY_API = "v1/gateway/#"
# A topic level of its own. EMQX would replace ${…} in an access rule.
_LEVEL = re.compile(r"[^+#/\0]+")


class Action(StrEnum):
    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


BOTH = frozenset(Action)
PUBLISH = frozenset({Action.PUBLISH})
SUBSCRIBE = frozenset({Action.SUBSCRIBE})


@dataclass(frozen=True, slots=True)
class TopicRule:
    """A client may do `actions` on what `topic_filter` matches. Whatever no rule allows is denied."""

    topic_filter: str
    actions: frozenset[Action]


def bridge_rules() -> tuple[TopicRule, ...]:
    return (TopicRule("#", BOTH),)


def provisioning_rules(client_id: str, *, isolated: bool) -> tuple[TopicRule, ...]:
    """Return what a client that provisions may do: ask, and hear its own answer.

    `isolated`: the broker keeps clients apart on the same topic. If it does not, a client that subscribes to the
    shared response topic sees the credentials of others, so only MQTT_ALLOW_SHARED_RESPONSES allows it.
    """
    rules = [TopicRule(REQUEST, PUBLISH)]
    if isolated or settings.MQTT_ALLOW_SHARED_RESPONSES:
        rules.append(TopicRule(RESPONSE, SUBSCRIBE))
    if is_level(client_id):
        own = (REQUEST, RESPONSE)
        if not isolated:
            own = (settings.MQTT_REQUEST_TOPIC, settings.MQTT_RESPONSE_TOPIC)
        request, response = (_own_topic(topic, client_id) for topic in own)
        # What lies below it is for MQTT 5 response topics of the client's choice.
        rules += [TopicRule(request, PUBLISH), TopicRule(response, SUBSCRIBE), TopicRule(f"{response}/#", SUBSCRIBE)]
    return tuple(rules)


def device_rules(device: Device, client_id: str, *, isolated: bool) -> tuple[TopicRule, ...]:
    """Return what `device`, connected as `client_id`, may do.

    On a broker that is not `isolated` all devices publish the device API on the same topics. Each may write there, and
    none may listen: it would hear the others.
    """
    actions = BOTH if isolated else PUBLISH
    rules = [TopicRule(topic, actions) for topic in DEVICE_API]
    if device.gateway:
        rules.append(TopicRule(GATEWAY_API, actions))
    values = {
        "device_id": str(device.pk),
        "device_name": device.name,
        "client_id": client_id,
        "profile": device.profile.name,
    }
    if own := filled_topic(device.profile.topic_pattern, values):
        rules.append(TopicRule(own, BOTH))
    return tuple(rules)


def is_allowed(rules: Iterable[TopicRule], action: Action, topic: str) -> bool:
    """Return whether `rules` allow `action` on `topic`, which is a filter if the client subscribes.

    A shared subscription ($share/…) is never a device's: it would take messages away from others.
    """
    if not topic or "\0" in topic or topic.startswith("$"):
        return False
    if action == Action.PUBLISH and re.search(r"[+#]", topic):
        return False
    return any(action in rule.actions and covers(rule.topic_filter, topic) for rule in rules)


def covers(allowed: str, wanted: str) -> bool:
    """Return whether everything that the filter or topic `wanted` can match is matched by the filter `allowed` too."""
    allowed_levels, wanted_levels = allowed.split("/"), wanted.split("/")
    for position, level in enumerate(allowed_levels):
        if level == "#":
            return True
        if position >= len(wanted_levels) or wanted_levels[position] == "#":
            return False
        if level not in ("+", wanted_levels[position]):
            return False
    return len(allowed_levels) == len(wanted_levels)


def is_level(text: str) -> bool:
    """Return whether `text` can be one level of a topic."""
    return bool(_LEVEL.fullmatch(text)) and "${" not in text


def _own_topic(topic: str, client_id: str) -> str:
    return topic.replace("{client_id}", client_id) if "{client_id}" in topic else f"{topic}/{client_id}"
