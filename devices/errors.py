"""What can go wrong with a device's data. The texts go to the device."""


class QuotaExceeded(Exception):
    """The device would have more keys than MAX_KEYS_PER_DEVICE."""
