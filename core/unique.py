"""A value that was free when it was validated may be taken when it is saved."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction


@contextmanager
def unique(field: str, taken: str) -> Iterator[None]:
    """Save a row whose `field` is unique. Raises ValidationError with text `taken` if another transaction was first.

    The other constraints of the row must have been validated before. Earlier writes of the surrounding transaction stay.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        # Not chained: PostgreSQL's message quotes the value, and a token or key must not reach a log.
        raise ValidationError({field: taken}) from None
