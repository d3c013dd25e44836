"""What an error of the database means for the batch that met it.

Source of the codes: PostgreSQL manual, appendix A. SQLite has none: its writers wait for each other at the start of
a transaction (IMMEDIATE), so whatever goes wrong there is not mended by trying again.
"""

import enum

from django.db import Error, IntegrityError, InterfaceError, OperationalError

_INTERFERED = {"40001", "40P01"}  # serialization failure, deadlock
_BLOCKED = {"55P03", "57014"}  # lock timeout, statement timeout
_READ_ONLY = "25006"  # the server became a standby


class Fault(enum.Enum):
    """INTERFERED: another transaction was first, so start over. BLOCKED: somebody holds a lock that the batch needs.

    AWAY: no database to talk to. BROKEN: something in the batch itself.
    """

    INTERFERED = enum.auto()
    BLOCKED = enum.auto()
    AWAY = enum.auto()
    BROKEN = enum.auto()


def fault_of(err: Exception) -> Fault:
    """Return what `err`, raised on the way through a transaction, means."""
    code = getattr(err.__cause__, "sqlstate", None) if isinstance(err, Error) else None
    if isinstance(err, IntegrityError) or code in _INTERFERED:
        return Fault.INTERFERED
    if code in _BLOCKED:
        return Fault.BLOCKED
    if isinstance(err, OperationalError | InterfaceError) or code == _READ_ONLY:
        return Fault.AWAY
    return Fault.BROKEN
