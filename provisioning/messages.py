"""The values that cross from a transport to the core and back. None has a secret in its repr."""

import uuid
from dataclasses import dataclass, field

from devices.credentials import Credentials
from provisioning.choices import ProvisionStatus, Reason, Transport


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from. `address` is "" if the transport does not know it.

    `proven` means that a UDP source receives at its address; a TCP connection proves that by itself. `certificate` is
    the digest of the certificate whose key the device has proved to have, by its TLS connection.
    """

    transport: Transport
    address: str = ""
    request_id: str = ""
    proven: bool = False
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class ProvisionRequest:
    """A well-formed request, as any transport decodes it (docs/protocol.md, *Request*).

    `credentials` is None if the device supplied none. They are not validated yet.
    """

    origin: Origin
    key: str = field(repr=False)
    secret: str = field(repr=False)
    device_name: str | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    lwm2m: bool = False
    gateway: bool = False
    idempotency_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProvisionOutcome:
    """The outcome of a request. `detail` and `reason` are for the operator, the rest is for the device."""

    status: ProvisionStatus
    reason: Reason
    detail: str = ""
    device_id: uuid.UUID | None = None
    device_name: str = ""
    credentials: Credentials | None = field(default=None, repr=False)
    retry_after_s: int = 0
