class KickFailed(Exception):
    """A broker did not end a session. The text says why and holds no secret."""
