"""Whatever bytes come: a request, or MalformedRequest, and nothing of them in its text."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.choices import Transport
from provisioning.messages import Origin, ProvisionRequest
from tests.support.strategies import any_text, documents, json_values, messages
from transports.codecs import MalformedRequest, decode
from transports.codecs.device_data import BadDeviceData, decode_attributes, decode_telemetry

ORIGIN = Origin(Transport.MQTT)


def check(body, idempotency_key=None):
    try:
        request, _ = decode(body, ORIGIN, idempotency_key=idempotency_key)
    except MalformedRequest as err:
        err.codec.encode_error(str(err))
    else:
        assert isinstance(request, ProvisionRequest)


@settings(deadline=None, max_examples=300)
@given(body=st.binary(max_size=300), header=st.none() | st.text())
def test_random_bytes_are_a_request_or_malformed(body, header):
    check(body, header)


@settings(deadline=None, max_examples=300)
@given(document=documents, header=st.none() | any_text)
def test_random_json_is_a_request_or_malformed(document, header):
    check(json.dumps(document).encode(), header)


@settings(deadline=None, max_examples=300)
@given(message=messages, cut=st.integers(0, 40), noise=st.binary(max_size=10))
def test_damaged_protobuf_is_a_request_or_malformed(message, cut, noise):
    whole = message.SerializeToString()
    check(whole)
    check(whole[: len(whole) - cut] + noise)


@settings(deadline=None, max_examples=200)
@given(body=st.binary(max_size=100) | json_values.map(json.dumps).map(str.encode))
def test_random_device_data_is_taken_or_refused(body):
    for read in (decode_telemetry, decode_attributes):
        try:
            read(body)
        except BadDeviceData:
            continue
