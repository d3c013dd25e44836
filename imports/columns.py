"""The columns of an imported file and their types."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import models

from core.text import MAX_TEXT_LENGTH, has_control_characters
from devices.choices import PROVISION_STATE
from profiles.choices import AttributeScope


class ColumnType(models.TextChoices):
    """Column types, with the names of ThingsBoard's bulk import."""

    NAME = "NAME", "Name"
    TYPE = "TYPE", "Type: the profile's name"
    LABEL = "LABEL", "Label"
    DESCRIPTION = "DESCRIPTION", "Description"
    IS_GATEWAY = "IS_GATEWAY", "Is gateway"
    SERVER_ATTRIBUTE = "SERVER_ATTRIBUTE", "Server attribute"
    SHARED_ATTRIBUTE = "SHARED_ATTRIBUTE", "Shared attribute"
    TIMESERIES = "TIMESERIES", "Time series"
    ACCESS_TOKEN = "ACCESS_TOKEN", "Access token"
    X509 = "X509", "X.509 certificate"
    MQTT_CLIENT_ID = "MQTT_CLIENT_ID", "MQTT client id"
    MQTT_USER_NAME = "MQTT_USER_NAME", "MQTT user name"
    MQTT_PASSWORD = "MQTT_PASSWORD", "MQTT password"
    IGNORE = "IGNORE", "Ignore"


SCOPES = {
    ColumnType.SERVER_ATTRIBUTE: AttributeScope.SERVER,
    ColumnType.SHARED_ATTRIBUTE: AttributeScope.SHARED,
}
KEYED = (*SCOPES, ColumnType.TIMESERIES)

# The two last columns of a file of refused rows (results.py). They do not describe the device.
REFUSED_HEADERS = ("line", "error")

_HEADERS = {
    ColumnType.NAME: ("name", "device", "device name"),
    ColumnType.TYPE: ("type", "device type", "profile", "device profile"),
    ColumnType.LABEL: ("label", "device label"),
    ColumnType.DESCRIPTION: ("description",),
    ColumnType.IS_GATEWAY: ("gateway", "is gateway"),
    ColumnType.ACCESS_TOKEN: ("token", "access token", "device token"),
    ColumnType.X509: ("x509", "x 509", "certificate", "x509 certificate", "x 509 certificate"),
    ColumnType.MQTT_CLIENT_ID: ("client id", "mqtt client id"),
    ColumnType.MQTT_USER_NAME: ("username", "user name", "mqtt username", "mqtt user name"),
    ColumnType.MQTT_PASSWORD: ("password", "mqtt password"),
    ColumnType.IGNORE: REFUSED_HEADERS,
}
_TYPE_OF_HEADER = {header: column_type for column_type, headers in _HEADERS.items() for header in headers}


class BadMapping(Exception):
    """The given columns do not fit the file. The text says why, in a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Column:
    """The type of one column; attributes and time series have a key."""

    type: ColumnType
    key: str = ""

    def as_json(self) -> dict[str, str]:
        return {"type": self.type.value, "key": self.key} if self.key else {"type": self.type.value}


def column(type_word: str, key: str = "") -> Column:
    """Return the column of a type name, in upper or lower case. Raises BadMapping."""
    try:
        column_type = ColumnType(type_word.strip().upper())
    except ValueError:
        raise BadMapping(
            f"There is no column type {type_word[:MAX_TEXT_LENGTH]!r}. Types are {', '.join(ColumnType.values)}."
        ) from None
    return Column(column_type, key.strip() if column_type in KEYED else "")


def guessed(header: str) -> Column:
    """Return the column for this header: of a known type, else a server attribute with the header as key.

    Source: ThingsBoard's import dialog treats unknown headers in the same way.
    """
    title = header.strip()
    words = re.sub(r"[\s_.\-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title)).strip().lower()
    known = _TYPE_OF_HEADER.get(words) or _TYPE_OF_HEADER.get(title.lower())
    if known:
        return Column(known)
    # Without a header there is no key for an attribute.
    return Column(ColumnType.SERVER_ATTRIBUTE, title) if title else Column(ColumnType.IGNORE)


def mapped(headers: Sequence[str], overrides: Mapping[str, Column]) -> list[Column]:
    """Return a column for each of `headers`: from `overrides` by its text, else guessed from it. Raises BadMapping."""
    titles = [header.strip() for header in headers]
    for title in overrides:
        if titles.count(title) != 1:
            raise BadMapping(f"The file has {'no' if title not in titles else 'more than one'} column {title!r}.")
    return checked([overrides.get(title) or guessed(title) for title in titles])


def numbered(count: int, overrides: Mapping[str, Column]) -> list[Column]:
    """Return the columns of a file without header: `overrides` by number, from 1; others are ignored. Raises BadMapping."""
    numbers = {str(number): number for number in range(1, count + 1)}
    for title in overrides:
        if title not in numbers:
            raise BadMapping(f"Columns of a file without header are numbered 1 to {count}; there is no {title!r}.")
    return checked([overrides.get(title, Column(ColumnType.IGNORE)) for title in numbers])


def from_option(text: str) -> tuple[str, Column]:
    """Return header and column of `HEADER=TYPE[:KEY]`; without KEY, the key is the header. Raises BadMapping."""
    for sign in re.finditer("=", text):
        header, (word, _, key) = text[: sign.start()].strip(), text[sign.end() :].partition(":")
        if word.strip().upper() in ColumnType.values:
            return header, column(word, key or header)
    raise BadMapping(f"{text!r} is not of the form HEADER=TYPE[:KEY], where TYPE is one of {', '.join(ColumnType.values)}.")


def checked(columns: list[Column]) -> list[Column]:
    """Return `columns` if they are a valid mapping. Raises BadMapping."""
    if columns.count(Column(ColumnType.NAME)) == 0:
        raise BadMapping("No column holds the name of the device.")
    for one in columns:
        if one.type == ColumnType.IGNORE:
            continue
        what = f"{one.type.label} {one.key!r}" if one.key else one.type.label
        if columns.count(one) > 1:
            raise BadMapping(f"Two columns have the same type: {what}.")
        if one.type in KEYED:
            _check_key(one)
    return columns


def _check_key(one: Column) -> None:
    if not one.key:
        raise BadMapping(f"A column of type {one.type.value} needs a key.")
    if len(one.key) > MAX_TEXT_LENGTH or has_control_characters(one.key):
        raise BadMapping(f"A key has at most {MAX_TEXT_LENGTH} characters and no control characters.")
    if one == Column(ColumnType.SERVER_ATTRIBUTE, PROVISION_STATE):
        raise BadMapping(f"{PROVISION_STATE} is set when a device provisions; give the column another key or ignore it.")
