"""What bridges learn of the clients of the embedded broker.

Client ids, unique and with the client's address; limits; and the certificate of a TLS connection.
"""

import hmac

from core.encryption import lookup_id

# The MQTT 5 user property with which the embedded broker gives the bridge the Maximum Packet Size of a client.
MAX_PACKET_PROPERTY = "maximum-packet-size"
# ... and how many bytes more than `/provision/response` alone the topic and the properties of its reply take.
OVERHEAD_PROPERTY = "reply-overhead"
# ... and with which it says whose private key the client has.
CERTIFICATE_PROPERTY = "client-certificate"


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


def signed_certificate(client_id: str, digest: str) -> str:
    """Return the value of CERTIFICATE_PROPERTY: `digest` is that of the certificate of client `client_id`.

    Signed, because on other brokers a device sets the properties of its requests itself.
    """
    return f"{digest} {lookup_id('client certificate over TLS', client_id, digest)}"


def proven_certificate(client_id: str, signed: str) -> str:
    """Return the digest in a value made by `signed_certificate` for this client; "" for any other."""
    digest = signed.partition(" ")[0]
    expected = signed_certificate(client_id, digest)
    return digest if hmac.compare_digest(expected.encode(), signed.encode()) else ""
