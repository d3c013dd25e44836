"""The errors of provisioning, one small tree. An edge turns each into its transport's own form."""

from typing import ClassVar

from provisioning.choices import ProvisionStatus, Reason


class ProvisionError(Exception):
    """A request that gets no credentials. `reason` and `detail` are for the operator, never for the device."""

    status: ClassVar[ProvisionStatus]

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.label)
        self.reason = reason
        self.detail = detail


class NotFound(ProvisionError):
    """The key and secret select no profile that provisions."""

    status = ProvisionStatus.NOT_FOUND


class Refused(ProvisionError):
    """The key and secret are right, and yet the device is not provisioned."""

    status = ProvisionStatus.FAILURE


class Unavailable(Exception):
    """Database unavailable, or the queue is full. Nothing was committed, or it is unknown; the device may try again."""

    retry_after_s = 5
