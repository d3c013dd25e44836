"""Patterns of the topics that a profile's devices may use on the operator's broker."""

import re
from collections.abc import Mapping

from core.text import has_control_characters

PLACEHOLDERS = ("device_id", "device_name", "client_id", "profile")
# Topics with rules of their own: the device API, and provisioning (docs/protocol.md).
RESERVED = ("v1/devices/me", "v1/gateway", "v2", "/provision/request", "/provision/response")
_PLACEHOLDER = re.compile("{(" + "|".join(PLACEHOLDERS) + ")}")
_OF_DEVICE = ("{device_id}", "{device_name}", "{client_id}")


def topic_pattern_problem(pattern: str) -> str:
    """Return why `pattern` cannot be used, "" if it can be. A blank one can: it allows nothing."""
    body = pattern.removesuffix("/#")
    bare = _PLACEHOLDER.sub("", body)
    rules = (
        (set(bare) & set("{}"), "The placeholders are " + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS) + "."),
        (set(bare) & set("+#"), "A wildcard may only be /# at the end."),
        (has_control_characters(bare) or body.startswith("$"), "It has characters that no topic of a device may have."),
        (any(_overlaps(body, topic) for topic in RESERVED), "These topics belong to the device API or to provisioning."),
        (
            not any(placeholder in body for placeholder in _OF_DEVICE),
            "It needs {device_id}, {device_name} or {client_id}: otherwise all devices would share these topics.",
        ),
    )
    return next((problem for broken, problem in rules if broken), "") if pattern else ""


def filled_topic(pattern: str, values: Mapping[str, str]) -> str:
    """Return `pattern` with `values` in place of its placeholders; "" if a value cannot be part of one topic level.

    A device may choose its name and client id: a slash or wildcard in them must not reach another device's topics, nor
    ${…}, which EMQX replaces.
    """
    used = [name for name in PLACEHOLDERS if f"{{{name}}}" in pattern]
    if any(not values[name] or re.search(r"[+#/\0]|\$\{", values[name]) for name in used):
        return ""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], pattern)


def _overlaps(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
