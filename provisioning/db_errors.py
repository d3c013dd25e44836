"""What a database error means for the batch that it ended.

Source of the codes: PostgreSQL manual, appendix A. SQLite has none: its writers wait for each other at the start of
a transaction (IMMEDIATE), so trying again does not help.
"""

import enum

from django.db import Error, IntegrityError, InterfaceError, OperationalError

_CONFLICT = {"40001", "40P01"}  # serialization failure, deadlock
_LOCK_TIMEOUT = {"55P03", "57014"}  # lock timeout, statement timeout
_READ_ONLY = "25006"  # the server became a standby


class DbError(enum.Enum):
    """How to go on after an error.

    CONFLICT: another transaction was first; start over. LOCK_TIMEOUT: another transaction holds a lock that the batch
    needs. UNAVAILABLE: no connection to the database. UNEXPECTED: an error in the batch itself.
    """

    CONFLICT = enum.auto()
    LOCK_TIMEOUT = enum.auto()
    UNAVAILABLE = enum.auto()
    UNEXPECTED = enum.auto()


def classify(err: Exception) -> DbError:
    """Return what `err`, raised on the way through a transaction, means."""
    code = getattr(err.__cause__, "sqlstate", None) if isinstance(err, Error) else None
    if isinstance(err, IntegrityError) or code in _CONFLICT:
        return DbError.CONFLICT
    if code in _LOCK_TIMEOUT:
        return DbError.LOCK_TIMEOUT
    if isinstance(err, OperationalError | InterfaceError) or code == _READ_ONLY:
        return DbError.UNAVAILABLE
    return DbError.UNEXPECTED
