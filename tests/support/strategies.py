"""What a fuzz sends: JSON and Protobuf that is nearly a request, with any text in it."""

from hypothesis import strategies as st

from transports.codecs import provision_pb2 as wire

FIELDS = [
    "provisionDeviceKey", "provisionDeviceSecret", "deviceName", "credentialsType", "token", "clientId", "username",
    "password", "hash", "gateway", "idempotencyKey",
]  # fmt: skip
# Every code point, lone surrogates included: JSON can carry them.
any_text = st.text(st.characters(codec=None, exclude_categories=()))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.sampled_from(["ACCESS_TOKEN", "MQTT_BASIC"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(FIELDS), json_values) | json_values
messages = st.builds(
    lambda name, type_, key, secret, token, gateway: wire.ProvisionDeviceRequestMsg(
        deviceName=name,
        credentialsType=type_,
        provisionDeviceCredentialsMsg=wire.ProvisionDeviceCredentialsMsg(provisionDeviceKey=key, provisionDeviceSecret=secret),
        credentialsDataProto=wire.CredentialsDataProto(
            validateDeviceTokenRequestMsg=wire.ValidateDeviceTokenRequestMsg(token=token)
        ),
        gateway=gateway,
    ),
    *[st.text(), st.integers(-(2**31), 2**31 - 1), st.text(), st.text(), st.text(), st.booleans()],
)
