"""Errors that more than one transport raises."""


class BodyTooLarge(Exception):
    """The body has more than MAX_REQUEST_BYTES."""
