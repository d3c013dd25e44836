"""The topics of a device with credentials (docs/protocol.md, *With the credentials afterwards*)."""

DEVICE_PREFIXES = ("v1/devices/me/", "v2/")
GATEWAY_PREFIX = "v1/gateway/"
TELEMETRY = ("v1/devices/me/telemetry", "v2/t", "v2/t/j")
ATTRIBUTES = ("v1/devices/me/attributes", "v2/a", "v2/a/j")
ATTRIBUTE_REQUEST, ATTRIBUTE_RESPONSE = "v1/devices/me/attributes/request/", "v1/devices/me/attributes/response/"
RPC_REQUEST, RPC_RESPONSE = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
GATEWAY_CONNECT, GATEWAY_DISCONNECT = "v1/gateway/connect", "v1/gateway/disconnect"
GATEWAY_TELEMETRY, GATEWAY_ATTRIBUTES = "v1/gateway/telemetry", "v1/gateway/attributes"
GATEWAY_ATTRIBUTE_REQUEST, GATEWAY_ATTRIBUTE_RESPONSE = "v1/gateway/attributes/request", "v1/gateway/attributes/response"
