"""What bridges learn of the clients of the embedded broker: client ids, unique and with the client's address, and limits."""

# The MQTT 5 user property with which the embedded broker gives the bridge the Maximum Packet Size of a client.
MAX_PACKET_PROPERTY = "maximum-packet-size"


def joined_client_id(key: str, address: str, request: str = "") -> str:
    """Return the id of the client `key` at `address`, by which guesses are limited.

    `request` distinguishes requests of one client with different response topics or correlation data.
    """
    return f"{key}.{request}@{address}" if request else f"{key}@{address}"


def split_client_id(client_id: str) -> tuple[str, str]:
    """Return key and request of a client id made by `joined_client_id`; empty for any other."""
    key, _, request = client_id.partition("@")[0].partition(".")
    return key, request


def address_of(client_id: str) -> str:
    """Return the address in a client id made by `joined_client_id`. Another broker's ids are the devices' own words."""
    return client_id.rpartition("@")[2]
