"""Telemetry and attributes as devices send them (protocol.md, *With the credentials afterwards*)."""

import json
from datetime import UTC, datetime

import pytest

from transports.codecs.device_data import BadDeviceData, decode_attributes, decode_telemetry


def pairs(readings):
    return [(reading.key, reading.value) for reading in readings]


def test_object_is_measured_now():
    before = datetime.now(UTC)
    readings = decode_telemetry(b'{"t": 21.5, "on": true, "s": "x", "o": {"a": [1]}, "l": [1, 2], "nothing": null}')

    assert pairs(readings) == [("t", 21.5), ("on", True), ("s", "x"), ("o", {"a": [1]}), ("l", [1, 2])]
    assert all(before <= reading.measured_at <= datetime.now(UTC) for reading in readings)


def test_ts_and_values_are_measured_then():
    (reading,) = decode_telemetry(b'{"ts": 1451649600512, "values": {"t": 1}}')

    assert reading.measured_at == datetime(2016, 1, 1, 12, 0, 0, 512000, tzinfo=UTC)


def test_array_mixes_both():
    assert pairs(decode_telemetry(b'[{"a": 1}, {"ts": 1, "values": {"b": 2, "c": 3}}]')) == [("a", 1), ("b", 2), ("c", 3)]


@pytest.mark.parametrize("body", [b"[]", b"{}"])
def test_nothing_is_nothing(body):
    assert decode_telemetry(body) == []


BAD = [
    b"",
    b"{",
    b"12",
    b'"text"',
    b"[1]",
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"": 1}',
    b"\xff",
    json.dumps({"k" * 256: 1}).encode(),
    b'{"a\\u0000": 1}',
    b'{"a": "\\u0000"}',
    b'{"a": {"b": ["\\ud800"]}}',
    b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
    b"[" * 50_000,
    json.dumps({str(number): 1 for number in range(1001)}).encode(),
]


@pytest.mark.parametrize("body", [*BAD, b'{"ts": true, "values": {"a": 1}}'])
def test_bad_telemetry_is_refused(body):
    with pytest.raises(BadDeviceData):
        decode_telemetry(body)


@pytest.mark.parametrize("ts", ["1e30", "-1e30", "1" + "0" * 400, '"1"', "[]", "1e308"])
def test_time_out_of_range_is_refused(ts):
    with pytest.raises(BadDeviceData):
        decode_telemetry(f'{{"ts": {ts}, "values": {{"a": 1}}}}'.encode())


@pytest.mark.parametrize("body", [*BAD, b'[{"a": 1}]'])
def test_bad_attributes_are_refused(body):
    with pytest.raises(BadDeviceData):
        decode_attributes(body)


def test_attributes_are_one_object():
    assert decode_attributes(b'{"a": 1, "b": null, "c": {"d": []}}') == {"a": 1, "c": {"d": []}}
