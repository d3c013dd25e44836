"""Telemetry and attributes as devices send them (docs/protocol.md, *Data*)."""

import json
from datetime import UTC, datetime

import pytest

from devices.selectors import AttributeRequest
from transports.codecs.device_data import (
    BadDeviceData,
    decode_attribute_request,
    decode_attributes,
    decode_rpc_method,
    decode_telemetry,
    encode,
)


def pairs(readings):
    return [(reading.key, reading.value) for reading in readings]


def test_object_is_measured_now():
    before = datetime.now(UTC)
    readings = decode_telemetry(b'{"t": 21.5, "on": true, "s": "x", "o": {"a": [1]}, "l": [1, 2], "nothing": null}')

    assert pairs(readings) == [("t", 21.5), ("on", True), ("s", "x"), ("o", {"a": [1]}), ("l", [1, 2])]
    assert all(before <= reading.measured_at <= datetime.now(UTC) for reading in readings)


@pytest.mark.parametrize("ts", ["1451649600512", '"1451649600512"', "'1451649600512'", '"+1451649600512"', "1451649600512.4"])
def test_ts_and_values_are_measured_then(ts):
    (reading,) = decode_telemetry(f'{{"ts": {ts}, "values": {{"t": 1}}}}'.encode())

    assert reading.measured_at.replace(microsecond=512_000) == datetime(2016, 1, 1, 12, 0, 0, 512_000, tzinfo=UTC)


def test_array_mixes_both():
    assert pairs(decode_telemetry(b'[{"a": 1}, {"ts": 1, "values": {"b": 2, "c": 3}}]')) == [("a", 1), ("b", 2), ("c", 3)]


def test_ts_or_values_alone_is_a_key_like_any_other():
    assert pairs(decode_telemetry(b'[{"ts": 5}, {"values": {"a": 1}}]')) == [("ts", 5), ("values", {"a": 1})]


@pytest.mark.parametrize("body", [b"[]", b"{}"])
def test_nothing_is_nothing(body):
    assert decode_telemetry(body) == []


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"{temperature:25}", {"temperature": 25}),
        (b"{'fw': '1.2', on: TRUE, n: 1.5, bare: word}", {"fw": "1.2", "on": True, "n": 1.5, "bare": "word"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"room": "Küche"}'.encode("iso-8859-1"), {"room": "Küche"}),
        ('{"room": "Küche"}'.encode(), {"room": "Küche"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_json_is_read_leniently(body, values):
    assert decode_attributes(body) == values
    assert dict(pairs(decode_telemetry(body))) == values


@pytest.mark.parametrize(
    "value",
    ["null", "NaN", "nan", "-nan", "Infinity", "-Infinity", "inf", "+INF", "1e999", "-1e999", "[1, NaN]", '{"deep": [inf]}'],
)
def test_value_that_is_no_number_skips_its_key_only(value):
    body = f'{{"before": 1, "key": {value}, "after": "NaN"}}'.encode()

    assert decode_attributes(body) == {"before": 1, "after": "NaN"}
    assert pairs(decode_telemetry(body)) == [("before", 1), ("after", "NaN")]


BAD = [
    b"",
    b"{",
    b"12",
    b'"text"',
    b"[1]",
    b'[{"a": 1},]',
    b'{"a": 1,}',
    b'{"a": 1}\0',
    b'{"": 1}',
    b"\xff",
    b"\x08\x01\x12\x04\x0a\x02\x08\x05",  # Protobuf
    json.dumps({"k" * 256: 1}).encode(),
    b'{"a\\u0000": 1}',
    b'{"a\\u0000": NaN}',
    b'{"a": "\\u0000"}',
    b'{"a": {"b": ["\\ud800"]}}',
    b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
    b"[" * 50_000,
    json.dumps({str(number): 1 for number in range(1001)}).encode(),
]


@pytest.mark.parametrize("body", [*BAD, b'{"ts": 1, "values": 5}', b'{"ts": 1, "values": null}'])
def test_bad_telemetry_is_refused(body):
    with pytest.raises(BadDeviceData):
        decode_telemetry(body)


# The last but one is of the year 9999, which has no local time east of Greenwich.
OUT_OF_RANGE = ["1e30", "-1e30", "1" + "0" * 400, "1e308", "NaN", "1e999", "253402300799000", "-62135596800000"]


@pytest.mark.parametrize("ts", [*OUT_OF_RANGE, '"253402300799000"', '"1.5"', '""', '"now"', '"１"', "true", "null", "[]"])
def test_time_that_cannot_be_used_is_refused(ts):
    with pytest.raises(BadDeviceData, match="ts "):
        decode_telemetry(f'{{"ts": {ts}, "values": {{"a": 1}}}}'.encode())


@pytest.mark.parametrize("body", [*BAD, b'[{"a": 1}]'])
def test_bad_attributes_are_refused(body):
    with pytest.raises(BadDeviceData):
        decode_attributes(body)


def test_attributes_are_one_object():
    assert decode_attributes(b'{"a": 1, "b": null, "c": {"d": []}}') == {"a": 1, "c": {"d": []}}


@pytest.mark.parametrize(
    ("body", "client_keys", "shared_keys"),
    [
        (b"{}", (), ()),
        (b'{"clientKeys": "a,b", "sharedKeys": "c"}', ("a", "b"), ("c",)),
        (b"{sharedKeys: 'c d,,e'}", (), ("c d", "e")),
        (b'{"clientKeys": null, "sharedKeys": ""}', (), ()),
        (b'{"sharedKeys": "\\u0000,a,\\ud800"}', (), ("a",)),
    ],
)
def test_attribute_request_names_keys_of_each_scope(body, client_keys, shared_keys):
    assert decode_attribute_request(body) == AttributeRequest(frozenset(client_keys), frozenset(shared_keys))


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"7", b'{"clientKeys": ["a"]}', b'{"sharedKeys": 1}'])
def test_bad_attribute_request_is_refused(body):
    with pytest.raises(BadDeviceData):
        decode_attribute_request(body)


def test_attribute_request_for_too_many_keys_is_refused():
    names = ",".join(str(number) for number in range(1001))

    with pytest.raises(BadDeviceData):
        decode_attribute_request(json.dumps({"clientKeys": names}).encode())


def test_rpc_names_its_method():
    assert decode_rpc_method(b'{"method": "getSessionLimits", "params": {"timeout": 5000}}') == "getSessionLimits"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"method": 5}', b'"getSessionLimits"'])
def test_rpc_without_a_method_is_refused(body):
    with pytest.raises(BadDeviceData):
        decode_rpc_method(body)


def test_answers_are_written_without_blanks():
    assert encode({"shared": {"room": "Küche", "n": [1, None]}}) == '{"shared":{"room":"Küche","n":[1,null]}}'.encode()
