"""Parses the fields of a record into a device row. Does not access the database."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from core.encryption import encrypt
from core.text import MAX_TEXT_LENGTH, has_control_characters, sanitized
from devices.choices import CredentialsType
from devices.credentials import AccessToken, Credentials, InvalidCredentials, MqttBasic, X509Certificate, from_stored, normalized
from imports.booleans import BOOLEANS
from imports.columns import KEYED, SCOPES, Column, ColumnType
from imports.csv.records import Record
from imports.csv.values import Value, cast

MAX_LONG_TEXT_LENGTH = 16 * 1024
# Line breaks and tabs are allowed in these; elsewhere they are refused like other control characters.
_FREE_TEXT = (*KEYED, ColumnType.DESCRIPTION, ColumnType.X509)
Secrets = dict[ColumnType, str]
_LAYOUT = str.maketrans("\t\r\n", "   ")


class RowRefused(Exception):
    """A row that cannot be imported: the `column` at fault, if any, and a sentence. Never contains a secret."""

    def __init__(self, sentence: str, column: str = "") -> None:
        super().__init__(f"{column}: {sentence}" if column else sentence)
        self.sentence = sentence
        self.column = column

    def without_frames(self) -> "RowRefused":
        """Return this without traceback and cause: their frames refer to the row, which will refer to this."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class StoredCredentials(NamedTuple):
    """Credentials as they are stored: lookup id and encrypted value; `plain` is the value before encryption."""

    type: str
    id: str
    value: str
    plain: str

    def __repr__(self) -> str:
        return f"<StoredCredentials {self.type}>"

    @property
    def credentials(self) -> Credentials:
        return from_stored(self.type, self.plain)


@dataclass(slots=True)
class DeviceRow:
    """The content of one record. An empty text, None or a missing key was blank in the file.

    What is between the record and the last two fields is plain values (parse_worker.py).
    """

    record: Record
    name: str = ""
    profile_name: str = ""
    label: str = ""
    description: str = ""
    gateway: bool | None = None
    attributes: dict[tuple[str, str], Value] = field(default_factory=dict)
    telemetry: dict[str, Value] = field(default_factory=dict)
    stored: StoredCredentials | None = None
    refusal: RowRefused | None = None


class RowParser:
    """Parses records with these `columns`; `headers`, if the file has them, are used in errors."""

    def __init__(self, columns: Sequence[Column], headers: Sequence[str] = ()) -> None:
        self._columns = columns
        self._titles = [
            (sanitized(headers[index].strip()) if index < len(headers) else "") or f"Column {index + 1}"
            for index in range(len(columns))
        ]
        self._used = [
            (index, one, self._titles[index])
            for index, one in enumerate(columns)
            if one.type not in (ColumnType.NAME, ColumnType.IGNORE)
        ]
        self._places = {one.type: index for index, one in enumerate(columns) if one.type not in KEYED}

    def description(self) -> tuple[list[tuple[str, str]], list[str]]:
        """Return columns and titles as plain types, for a parser in another process."""
        return [(one.type.value, one.key) for one in self._columns], self._titles

    def title(self, column_type: ColumnType) -> str:
        """Return the title of the column of that type in the file, "" if there is none."""
        return self._titles[self._places[column_type]] if column_type in self._places else ""

    def credentials_title(self, row: DeviceRow) -> str:
        """Return the title of the column that the credentials of `row` come from."""
        match row.stored.credentials if row.stored else None:
            case X509Certificate():
                return self.title(ColumnType.X509)
            case MqttBasic(client_id=client_id):
                return self.title(ColumnType.MQTT_CLIENT_ID if client_id else ColumnType.MQTT_USER_NAME)
        return self.title(ColumnType.ACCESS_TOKEN)

    def parse(self, record: Record) -> DeviceRow:
        """Return the row of `record`. A row that must be refused has its refusal, and its name if there is one."""
        row = DeviceRow(record)
        try:
            self._fill(row, record)
        except RowRefused as err:
            row.refusal = err.without_frames()
        return row

    def named(self, record: Record) -> DeviceRow:
        """Return a row of `record` with nothing but the name, if there is one."""
        row = DeviceRow(record)
        with contextlib.suppress(RowRefused):
            self._fill_name(row, record)
        return row

    def _fill_name(self, row: DeviceRow, record: Record) -> None:
        if record.problem:
            raise RowRefused(record.problem)
        if len(record.fields) != len(self._columns):
            many = "too many" if len(record.fields) > len(self._columns) else "too few"
            raise RowRefused(f"The row has {many} fields: {len(record.fields)} instead of {len(self._columns)}.")
        row.name = self._name(record.fields)

    def _fill(self, row: DeviceRow, record: Record) -> None:
        self._fill_name(row, record)
        self._check_characters(record.fields)
        secrets: Secrets = {}
        for index, column, title in self._used:
            # Blanks at the ends of a password may be intended.
            cell = record.fields[index] if column.type is ColumnType.MQTT_PASSWORD else record.fields[index].strip()
            if cell:
                _TAKE[column.type](row, secrets, column, _limited(cell, _LIMITS[column.type], title), title)
        if secrets:
            row.stored = self._stored_credentials(secrets)

    def _name(self, fields: list[str]) -> str:
        name = fields[self._places[ColumnType.NAME]].strip()
        title = self.title(ColumnType.NAME)
        if not name:
            raise RowRefused("The row has no name.", title)
        return _limited(name, MAX_TEXT_LENGTH, title)

    def _check_characters(self, fields: list[str]) -> None:
        text = " ".join(fields)
        if "\ufffd" not in text and not has_control_characters(text):
            return
        for index, column in enumerate(self._columns):
            if column.type == ColumnType.IGNORE:
                continue
            cell = fields[index].translate(_LAYOUT) if column.type in _FREE_TEXT else fields[index].strip()
            if has_control_characters(cell):
                raise RowRefused("The value contains a control character.", self._titles[index])
            if "\ufffd" in cell:
                raise RowRefused("The value contains bytes that are invalid in the encoding of the file.", self._titles[index])

    def _stored_credentials(self, secrets: Secrets) -> StoredCredentials:
        """Return the credentials of a row: a certificate, else MQTT basic, else a token."""
        mqtt = (ColumnType.MQTT_CLIENT_ID, ColumnType.MQTT_USER_NAME, ColumnType.MQTT_PASSWORD)
        credentials: Credentials
        if ColumnType.X509 in secrets:
            at, credentials = ColumnType.X509, X509Certificate(secrets[ColumnType.X509])
        elif given := [one for one in mqtt if one in secrets]:
            at, credentials = given[0], MqttBasic(*(secrets.get(one, "") for one in mqtt))
        else:
            at, credentials = ColumnType.ACCESS_TOKEN, AccessToken(secrets[ColumnType.ACCESS_TOKEN])
        try:
            return to_stored(normalized(credentials))
        except InvalidCredentials as err:
            raise RowRefused(str(err), self.title(at)) from err


def to_stored(credentials: Credentials) -> StoredCredentials:
    """Return `credentials`, which must be normalized, as they are stored."""
    plain = credentials.stored_value
    return StoredCredentials(_PLAIN_TYPE[credentials.type], credentials.credentials_id, encrypt(plain), plain)


def _limited(text: str, limit: int, title: str) -> str:
    if len(text) > limit:
        raise RowRefused(f"The value has {len(text)} characters; the limit is {limit}.", title)
    return text


def _take_attribute(row: DeviceRow, _: Secrets, column: Column, cell: str, _title: str) -> None:
    row.attributes[_SCOPE[column.type], column.key] = cast(cell)


def _take_telemetry(row: DeviceRow, _: Secrets, column: Column, cell: str, _title: str) -> None:
    row.telemetry[column.key] = cast(cell)


def _take_field(row: DeviceRow, _: Secrets, column: Column, cell: str, _title: str) -> None:
    setattr(row, _FIELDS[column.type], cell)


def _take_gateway(row: DeviceRow, _: Secrets, _column: Column, cell: str, title: str) -> None:
    row.gateway = BOOLEANS.get(cell.lower())
    if row.gateway is None:
        raise RowRefused("Use true or false, yes or no, 1 or 0, or these words in another language.", title)


def _take_secret(_row: DeviceRow, secrets: Secrets, column: Column, cell: str, _title: str) -> None:
    secrets[column.type] = cell


# Plain texts instead of enumeration members: they pass through pipes and database drivers.
_SCOPE = {column_type: scope.value for column_type, scope in SCOPES.items()}
_PLAIN_TYPE = {member: member.value for member in CredentialsType}
_FIELDS = {ColumnType.LABEL: "label", ColumnType.DESCRIPTION: "description", ColumnType.TYPE: "profile_name"}
_TAKE: dict[ColumnType, Callable[[DeviceRow, Secrets, Column, str, str], None]] = {
    **dict.fromkeys(ColumnType, _take_secret),
    **dict.fromkeys(SCOPES, _take_attribute),
    **dict.fromkeys(_FIELDS, _take_field),
    ColumnType.TIMESERIES: _take_telemetry,
    ColumnType.IS_GATEWAY: _take_gateway,
}
_LIMITS = {
    **dict.fromkeys(ColumnType, MAX_LONG_TEXT_LENGTH),
    ColumnType.LABEL: MAX_TEXT_LENGTH,
    ColumnType.TYPE: MAX_TEXT_LENGTH,
}
